"""The pictures of techniques, by the code of `sota-exp look`: `python docs/generator/pictures.py` draws all of them anew."""

import tempfile
from pathlib import Path

import pages
from PIL import Image

from sota_exp import compose
from sota_exp.preview.look.contact_sheets import draw_effects
from sota_exp.preview.look.findings import inspect_training
from sota_exp.training.run import open_session_of

#: Technique → what turns it on, and what makes it act on every image that is shown.
SHOWN = {
    "TrivialAugment": ["augmentation/policy=trivialaugment"],
    "AutoAugment": ["augmentation/policy=autoaugment"],
    "Random erasing": ["augmentation/erase=random_erasing", "augmentation.erase.p=1"],
    "Mixup": ["augmentation/mix=mixup", "augmentation.mix.alpha=1"],
    "CutMix": ["augmentation/mix=cutmix"],
    "Data augmentation": ["augmentation=classic"],
}

#: Few images, cropped as photographs are.
PLAIN = ["scale=smoke", "data.image_size=64", "augmentation=none", "augmentation/crop=random_resized", "tracking=none"]

WIDTH, COLORS = 1000, 192


def draw(words: list[str], path: Path) -> None:
    """Draw the effect of the technique that `words` turn on."""
    configuration = compose(*PLAIN, *words)
    session = open_session_of(configuration.experiment)
    with tempfile.TemporaryDirectory() as folder:
        large = Path(folder, "effects.png")
        draw_effects(inspect_training(session, configuration.choices, 3), large)
        picture = Image.open(large).convert("RGB")
    small = picture.resize((WIDTH, round(WIDTH * picture.height / picture.width)), Image.Resampling.LANCZOS)
    small.quantize(COLORS).save(path, optimize=True)


def main() -> None:
    """Draw a picture of each technique of `SHOWN`."""
    for technique in pages.read_techniques():
        if technique.name in SHOWN:
            draw(SHOWN[technique.name], pages.DOCS / "images/techniques" / f"{technique.slug}.png")


if __name__ == "__main__":
    main()
