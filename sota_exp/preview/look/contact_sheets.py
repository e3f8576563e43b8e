"""Contact sheets of `sota-exp look`: the augmented batch, the effect of each technique, and near-duplicates."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from sota_exp.data.resize import interpolate
from sota_exp.preview.look.augmented import sort_soft_label
from sota_exp.preview.look.duplicates import DuplicatePair
from sota_exp.preview.look.findings import LookResult
from sota_exp.report.drawing.matplotlib_canvas import GREY, RED, make_figure, save_figure
from sota_exp.stages.data import Images

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Most images of the batch that are shown, and images per row.
MAX_BATCH_IMAGES, IMAGES_PER_ROW = 32, 8

#: Most pairs of near-duplicates that are shown, and pairs per row.
MAX_PAIRS, PAIRS_PER_ROW = 12, 3

#: Most pixels of the longer side of an original image.
MAX_ORIGINAL_SIDE = 192


def make_sheet(columns: float, rows: float, cell: float) -> tuple["Figure", "Axes"]:
    """A figure of `columns` × `rows` square cells of `cell` inches, with a title, and one axes object for all images.

    One axes object per image would take a second to lay out.
    """
    drawing = make_figure(columns * cell, rows * cell + 0.45)
    drawing.set_layout_engine("none")
    axes = drawing.add_axes((0, 0, 1, rows * cell / (rows * cell + 0.45)))
    axes.set_xlim(0, columns)
    axes.set_ylim(rows, 0)
    axes.axis("off")
    return drawing, axes


def draw_title(drawing: "Figure", text: str) -> None:
    """The title of a sheet."""
    height = drawing.get_figheight()
    drawing.text(0.12 / drawing.get_figwidth(), 1 - 0.25 / height, text, fontsize=11, ha="left", va="center")


def draw_fitted_image(axes: "Axes", image: Tensor, left: float, top: float, side: float) -> None:
    """Draw an image, uint8 [3, H, W], in the centre of a square, as large as it fits."""
    height, width = image.shape[1:]
    tall, wide = side * height / max(height, width), side * width / max(height, width)
    x, y = left + (side - wide) / 2, top + (side - tall) / 2
    axes.imshow(image.permute(1, 2, 0).numpy(), extent=(x, x + wide, y + tall, y), aspect="auto")


def load_original(images: Images, index: int) -> Tensor:
    """The original image, uint8 [3, H, W], reduced to at most `MAX_ORIGINAL_SIDE` pixels on its longer side."""
    image = images.image(index)
    height, width = image.shape[1:]
    shrink = min(1.0, MAX_ORIGINAL_SIDE / max(height, width))
    return interpolate(image[None], max(1, round(height * shrink)), max(1, round(width * shrink)))[0]


def shorten(text: str, most: int) -> str:
    """The text with at most `most` characters; a longer one loses its middle."""
    if len(text) <= most:
        return text
    tail = (most - 1) // 2
    return f"{text[: most - 1 - tail]}…{text[len(text) - tail :]}"


def format_soft_label(label: Sequence[tuple[str, float]], most: int) -> str:
    """A soft label as `dog 0.62` and, on a second line, the class that it is mixed with."""
    return "\n".join(f"{shorten(name, most - 5)} {share:.2f}" for name, share in label[:2])


def draw_batch(found: LookResult, path: Path) -> None:
    """The first images of the augmented batch with their soft labels."""
    images, targets, step = found.batch, found.step.seen.targets.cpu(), found.step
    num = min(len(images), MAX_BATCH_IMAGES)
    labels = [format_soft_label(sort_soft_label(target, found.data.classes), 21) for target in targets[:num]]
    head = 0.08 + 0.11 * max(1 + label.count("\n") for label in labels)
    tall = 0.96 + head
    drawing, axes = make_sheet(IMAGES_PER_ROW, -(-num // IMAGES_PER_ROW) * tall, 1.45)
    for position, label in enumerate(labels):
        row, column = divmod(position, IMAGES_PER_ROW)
        draw_fitted_image(axes, images[position], column + 0.04, row * tall + head, 0.92)
        below = row * tall + head - 0.03
        axes.text(column + 0.5, below, label, fontsize=7.5, ha="center", va="bottom", linespacing=1.05)
    shown = f"{num} of its {len(images)} images" if num < len(images) else f"its {num} images"
    side = images.shape[-1]
    draw_title(
        drawing, f"Step {step.number:,} of {step.total:,}, epoch {step.epoch + 1}: {shown} as trained on, {side} px"
    )
    save_figure(drawing, path)


def draw_effects(found: LookResult, path: Path) -> None:
    """One row per augmentation that is on, applied alone, and one column per image."""
    rows = build_effect_rows(found)
    columns = len(found.rows)
    drawing, axes = make_sheet(columns + 1.35, len(rows) * 1.04 + 0.22, 1.2)
    for row, (name, detail, images) in enumerate(rows):
        top = row * 1.04 + 0.22
        axes.text(0.1, top + 0.48, name, fontsize=9.5, ha="left", va="bottom", fontweight="bold")
        axes.text(0.1, top + 0.53, detail, fontsize=7.5, ha="left", va="top", color=GREY, linespacing=1.3)
        for column, image in enumerate(images):
            draw_fitted_image(axes, image, column + 1.35, top, 0.96)
    for column, index in enumerate(get_source_indices(found)):
        text = shorten(found.get_class_name(index), 18)
        axes.text(column + 1.83, 0.18, text, fontsize=7.5, ha="center", va="bottom")
    draw_title(
        drawing,
        f"Each technique alone on the training crop, with the random numbers of step {found.step.number:,}; "
        "the images that most techniques change",
    )
    save_figure(drawing, path)


def get_source_indices(found: LookResult) -> list[int]:
    """The images of the columns, by index in the data set."""
    positions = found.step.cut.sources[found.rows]
    return found.data.train[positions].tolist()


def build_effect_rows(found: LookResult) -> list[tuple[str, str, list[Tensor]]]:
    """(name, description, images uint8 [3, H, W]) per row: originals, crops, each slot alone, all slots."""
    step, num = found.step, len(found.step.cut)
    size = f"{step.cut.images.shape[-1]} px"
    originals = [load_original(found.data.images, index) for index in get_source_indices(found)]
    crop = found.choices["augmentation/crop"]
    rows = [
        ("image", "as it is stored", originals),
        ("crop", f"{'centre' if crop == 'none' else crop}\n{size}", list(step.cut.images[found.rows].cpu())),
    ]
    for effect in found.effects:
        detail = f"{shorten(found.choices[effect.slot], 22)}\nchanges {effect.num_changed} of {num}"
        rows.append((effect.slot.rpartition("/")[2], detail, list(effect.images)))
    return [*rows, ("all", "in the pipeline's order", list(found.batch[found.rows]))]


def draw_near_duplicates(found: LookResult, path: Path) -> None:
    """The closest pairs of images across splits, marked if they are near-duplicates."""
    pairs = found.duplicates.pairs[:MAX_PAIRS]
    rows = max(-(-len(pairs) // PAIRS_PER_ROW), 1)
    drawing, axes = make_sheet(2.2 * PAIRS_PER_ROW, (rows * 1.5) if pairs else 0.3, 1.5)
    for position, pair in enumerate(pairs):
        row, column = divmod(position, PAIRS_PER_ROW)
        draw_pair(axes, found, pair, column * 2.2 + 0.06, row * 1.5)
    num = len(found.duplicates.near_pairs)
    title = (
        f"The closest pairs across splits; {num:,} are near-duplicates" if pairs else "No similar images across splits"
    )
    draw_title(drawing, title)
    save_figure(drawing, path)


def draw_pair(axes: "Axes", found: LookResult, pair: DuplicatePair, left: float, top: float) -> None:
    """Two images side by side, each with its split, class and file above it."""
    verdict = "near-duplicate" if pair.is_near else "not counted"
    color = RED if pair.is_near else GREY
    axes.text(left, top + 0.2, f"distance {pair.distance:.3f}: {verdict}", fontsize=8.5, color=color, va="center")
    for place, split, index in ((0, pair.split, pair.index), (1, pair.other, pair.other_index)):
        x = left + place * 1.02
        draw_fitted_image(axes, load_original(found.data.images, index), x, top + 0.46, 0.98)
        caption = f"{split}: {shorten(found.get_class_name(index), 20)}\nimage {index}"
        axes.text(x, top + 0.43, caption, fontsize=7, ha="left", va="bottom", linespacing=1.15)
