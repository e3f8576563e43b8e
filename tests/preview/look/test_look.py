"""What `look` finds in the data: copies across splits whatever was done to them, scarce classes, enlarged images."""

import io
import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from PIL import Image, ImageEnhance

from sota_exp.cli.main import run_command_line
from sota_exp.preview.look.classes import compute_class_balance
from sota_exp.preview.look.duplicates import find_duplicates
from sota_exp.preview.look.show import PICTURES, describe_sizes
from sota_exp.preview.look.sizes import read_image_sizes
from sota_exp.stages.data import DataSet, Images, Preprocessing
from sota_exp.stages.evaluation import EvaluationView
from tests.experiments import TINY


class ListedImages(Images):
    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def size(self, index):
        return tuple(self.images[index].shape[1:])

    def image(self, index):
        return self.images[index]


def as_tensor(picture):
    data = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
    return data.view(picture.height, picture.width, 3).permute(2, 0, 1)


def draw_picture(seed):
    """Blocks of random colours, smooth enough to survive JPEG."""
    generator = torch.Generator().manual_seed(seed)
    blocks = torch.randint(256, (5, 5, 3), generator=generator, dtype=torch.uint8)
    return Image.fromarray(blocks.numpy()).resize((64, 64), Image.Resampling.BICUBIC)


def as_jpeg(picture):
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=60)
    return Image.open(file).convert("RGB")


COPIES = {
    "equal": lambda picture: picture,
    "jpeg": as_jpeg,
    "half": lambda picture: picture.resize((32, 32)),
    "darker": lambda picture: ImageEnhance.Brightness(picture).enhance(0.7),
}


def made(pictures, train, val, test, labels):
    images = ListedImages([as_tensor(picture) for picture in pictures])
    colors = Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    splits = {"train": torch.tensor(train), "val": torch.tensor(val), "test": torch.tensor(test)}
    return DataSet(
        images=images,
        labels=torch.tensor(labels),
        classes=("a", "b"),
        preprocessing=colors,
        digest="",
        image_digests=torch.arange(len(images)),
        **splits,
    )


@pytest.mark.parametrize("change", COPIES.values(), ids=COPIES)
def test_a_copy_in_train_is_found_and_other_images_are_not(change):
    first, *others = (draw_picture(seed) for seed in range(6))
    data = made([first, *others[:3], change(first), others[4]], [0, 1], [2, 4], [3, 5], [0, 1] * 3)
    found = find_duplicates(data)
    (near,) = found.near_pairs
    assert (near.split, near.index, near.other, near.other_index) == ("val", 4, "train", 0)
    assert [found.num_near(*names) for names in (("val", "train"), ("test", "train"), ("test", "val"))] == [1, 0, 0]
    assert len(found.pairs) == 6 and found.pairs[0] == near


@pytest.mark.parametrize("color", ["gray", "red", (20, 200, 90)])
def test_images_of_one_color_are_not_compared(color):
    flat = Image.new("RGB", (64, 64), color)
    found = find_duplicates(made([flat, draw_picture(0), flat, draw_picture(1)], [0, 1], [2], [3], [0] * 4))
    assert (found.compared, found.num_available) == (
        {"train": 1, "val": 0, "test": 1},
        {"train": 2, "val": 1, "test": 1},
    )
    assert not found.near_pairs


def test_classes_and_sizes_are_counted():
    data = made([draw_picture(0)] * 4 + [draw_picture(1).resize((20, 40))], [0, 1, 4], [2], [3], [0, 0, 0, 1, 1])
    balance = compute_class_balance(data)
    assert balance.counts == {"train": (2, 1), "val": (1, 0), "test": (0, 1)}
    assert balance.ratio == 2 and balance.scarce_classes == ["b", "a"]
    assert compute_class_balance(replace(data, train=data.train[:2])).ratio == float("inf")
    sizes = read_image_sizes(data, 32, EvaluationView(size=56, resize=64))
    assert (sizes.num_below(32), sizes.num_below(64), sizes.num_below(65)) == (1, 1, 5)


@pytest.mark.parametrize(("train_size", "says"), [(48, False), (96, True)])
def test_a_recipe_for_small_images_is_named_where_most_are_enlarged(train_size, says):
    data = made([draw_picture(0)] * 4 + [draw_picture(1).resize((20, 40))], [0, 1, 4], [2], [3], [0, 0, 0, 1, 1])
    sizes = read_image_sizes(data, train_size, EvaluationView(size=train_size, resize=train_size))
    _, warning = describe_sizes(SimpleNamespace(sizes=sizes, scale=SimpleNamespace(share_enlarged=1.0)))
    assert warning.endswith("recipe=small_images data.image_size=64") == says


def test_every_picture_is_drawn_and_described(tmp_path, monkeypatch, capfd):
    """No weights are fetched for it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["sota-exp"])
    monkeypatch.setattr("timm.create_model", None)
    model = ["model/arch=timm", "model.arch.name=resnet18", "model/weights=pretrained"]
    teacher = ["regularization/distillation=logits", "regularization.distillation.source=timm"]
    words = [word for word in TINY if not word.startswith("model")]
    words += ["recipe=torchvision", *model, *teacher, "regularization.distillation.name=resnet18"]
    assert run_command_line(["look", *words, "step=1", "hydra.run.dir=look"]) == 0
    output = capfd.readouterr().out
    assert all((tmp_path / "look" / f"{name}.png").stat().st_size > 1000 and name in output for name in PICTURES)
    numbers = json.loads((tmp_path / "look" / "look.json").read_text())
    assert numbers["step"] == 1 and numbers["images_changed"]["augmentation/mix"] > 0
    assert list(numbers["summary"]) == list(PICTURES) and numbers["summary"]["batch"][0].startswith("after 1 of ")


def test_images_are_named_and_a_class_without_test_images_is_told(tmp_path, monkeypatch, capfd):
    for index in range(30):
        kind, part = ("cat", "dog", "emu")[index % 3], "test" if index >= 24 else "train"
        if (kind, part) != ("emu", "test"):
            (tmp_path / "set" / part / kind).mkdir(parents=True, exist_ok=True)
            draw_picture(index).save(tmp_path / "set" / part / kind / f"{index}.png")
    draw_picture(1).save(tmp_path / "set" / "test" / "cat" / "copy.png")
    monkeypatch.chdir(tmp_path)
    flags = [word for word in TINY if not word.startswith("data")]
    data = ["data=image_folder", "data.root=set", "data.image_size=16", "data.cache=cache", "recipe=baseline"]
    assert run_command_line(["look", *flags, *data, "data.val_fraction=null", "hydra.run.dir=look"]) == 0
    output = " ".join(capfd.readouterr().out.split())
    assert "test/cat/copy.png and train/dog/1.png" in output
    assert "no test images of emu: scores on test say nothing about them" in output
    pairs = json.loads((tmp_path / "look" / "look.json").read_text())["near_duplicates"]["pairs"]
    assert ("test/cat/copy.png", "train/dog/1.png") in {(pair.get("test"), pair.get("train")) for pair in pairs}
    assert run_command_line(["explain", *flags, *data, "data.val_fraction=null", "--no-measure"]) == 0
    assert "3 classes; without val images: emu; without test images: emu" in " ".join(capfd.readouterr().out.split())
