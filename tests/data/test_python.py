"""A data set that Python hands in is like any other, kept in the cache, and told where it is no such set."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Subset, TensorDataset

from sota_exp.data.python import digest_and_classes, hand_in_data, number_labels
from sota_exp.errors import ConfigError
from sota_exp.stages import handed_in
from tests.experiments import composed
from tests.handed_in import Colours, overrides_of


def source_of(cache, *words):
    return composed("data=python", *overrides_of("data=python"), f"data.cache={cache}", *words).experiment.data


def test_images_labels_classes_and_parts(tmp_path):
    data = source_of(tmp_path)()
    assert data.classes == Colours.classes and data.count_images() == {"train": 48, "val": 6, "test": 6}
    image, label = Colours()[7]
    assert torch.equal(data.images.image(7), torch.from_numpy(image).permute(2, 0, 1)) and data.labels[7] == label


def test_parts_that_are_handed_in_are_kept(tmp_path):
    digest, side = hand_in_data({"train": Colours(40), "test": Subset(Colours(), range(40, 60))})
    data = replace(source_of(tmp_path), digest=digest)()
    assert side == 24 and data.count_images() == {"train": 36, "val": 4, "test": 20}


def test_another_process_finds_them_in_the_cache_and_only_there(tmp_path, monkeypatch):
    source = source_of(tmp_path)
    before = source().digest
    monkeypatch.setattr(handed_in, "_objects", {})
    assert source().digest == before == source.digest
    with pytest.raises(
        ConfigError, match="data=python: Colours was handed in from Python, .* hand it in again, or choose"
    ):
        replace(source, cache=str(tmp_path / "empty"))()


def test_images_that_change_are_refused_and_leave_no_store(tmp_path, monkeypatch):
    source = source_of(tmp_path)
    monkeypatch.setattr(Colours, "__getitem__", lambda self, index: (np.random.rand(24, 28, 3), index % 4))
    with pytest.raises(
        ConfigError, match="gives other images each time it is read; hand it in without random transforms"
    ):
        source()
    assert [path for path in (tmp_path / "stores").iterdir() if path.is_dir()] == []


def test_too_few_images_are_told(tmp_path):
    digest, _ = hand_in_data((PIXELS[:2], ["cat", "dog"]))
    with pytest.raises(
        ConfigError, match="name=Colours is not legal: enough images to train, validate and test; 2 were"
    ):
        replace(source_of(tmp_path), digest=digest)()


CHANGES = {
    "an image": lambda items: [(255 - items[0][0], items[0][1]), *items[1:]],
    "a label": lambda items: [(items[0][0], 1), *items[1:]],
    "an order": lambda items: items[::-1],
    "a part": lambda items: {"train": items[:-1], "test": items[-1:]},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_the_digest_knows_every_change(change):
    items = [Colours()[index] for index in range(8)]
    assert digest_and_classes(change(items))[0] != digest_and_classes(items)[0]


PIXELS = np.random.default_rng(0).integers(0, 256, (6, 12, 10, 3), np.uint8)
WORDS = ["cat", "dog", "cat", "cow", "dog", "cow"]
LABELS = {
    "numbers": ([0, 2, 1, 1, 0, 2], ["0", "1", "2"], [0, 2, 1, 1, 0, 2]),
    "numbers of NumPy in a column": (np.array([[1], [3], [1], [2], [3], [2]]), ["1", "2", "3"], [0, 2, 0, 1, 2, 1]),
    "numbers of PyTorch": (torch.tensor([0, 1, 0, 1, 1, 1]), ["0", "1"], [0, 1, 0, 1, 1, 1]),
    "numbers from 9 on": ([9, 10, 9, 10, 10, 10], ["9", "10"], [0, 1, 0, 1, 1, 1]),
    "words": (WORDS, ["cat", "cow", "dog"], [0, 2, 0, 1, 2, 1]),
    "words of pandas": (pd.Series(WORDS, index=range(10, 16)), ["cat", "cow", "dog"], [0, 2, 0, 1, 2, 1]),
}


@pytest.mark.parametrize(("labels", "classes", "numbers"), LABELS.values(), ids=LABELS)
def test_images_and_labels_of_two_sequences(labels, classes, numbers, tmp_path):
    digest, side = hand_in_data((PIXELS, labels))
    data = replace(source_of(tmp_path), digest=digest, val_fraction=0.2, test_fraction=0.2)()
    assert side == 10 and list(data.classes) == classes and data.labels.tolist() == numbers
    assert torch.equal(data.images.image(3), torch.from_numpy(PIXELS[3]).permute(2, 0, 1))


def test_images_in_any_order_of_channels_and_in_files_are_the_same(tmp_path):
    kinds = [
        PIXELS,
        PIXELS.transpose(0, 3, 1, 2),
        torch.from_numpy(PIXELS),
        torch.from_numpy(PIXELS).permute(0, 3, 1, 2),
    ]
    paths = [tmp_path / f"{number}.png" for number in range(len(PIXELS))]
    for path, pixels in zip(paths, PIXELS, strict=True):
        Image.fromarray(pixels).save(path)
    kinds += [list(PIXELS), PIXELS / 255, paths, pd.Series(map(str, paths), index=range(6, 12))]
    assert len({digest_and_classes((images, WORDS))[0] for images in kinds}) == 1


def test_words_are_the_classes_that_a_data_set_names():
    named = type("Named", (list,), {"classes": ("dog", "cow", "cat")})(zip(PIXELS, WORDS, strict=True))
    assert number_labels(digest_and_classes(named)[1]) == {"dog": 0, "cow": 1, "cat": 2}


def test_classes_without_names_are_the_numbers_that_occur():
    images = torch.zeros(3, 3, 8, 8)
    assert list(digest_and_classes(TensorDataset(images, torch.tensor([1, 3, 2])))[1]) == ["1", "2", "3"]


IMAGE = np.zeros((8, 8, 3), np.uint8)
WRONG = {
    "no length": (iter([]), "data: list_iterator is no data set; legal: a Dataset with __len__"),
    "no images": ([], "data: train has no images"),
    "no parts": ({"training": [(IMAGE, 0)]}, "data has the parts training; legal: train, and perhaps val and test"),
    "no pair": ([IMAGE], r"data: train\[0\] is ndarray; legal: .* or a tuple of two sequences, \(images, labels\)"),
    "batches": (DataLoader([(IMAGE, 0)]), "data: a DataLoader; hand in its data set, data=loader.dataset"),
    "a path": ("photos", "data: 'photos' is text; files are chosen by words: data=image_folder data.root=photos"),
    "a table": (pd.DataFrame({"path": ["a.png"]}), "data: a table; hand in two of its columns"),
    "more than a pair": ([(IMAGE, 0, 1)], r"data: train\[0\] is tuple of 3; legal: .* pairs"),
    "one image": ((IMAGE, 0), "data: tuple is no data set"),
    "few labels": ((PIXELS, [0, 1]), "data: 6 images and 2 labels; legal: a label for each"),
    "no file": ((["no.png"], [0]), r"data: train\[0\]: no.png can't be read"),
    "no kind of image": (([3], [0]), r"data: train\[0\]: int is no image; legal: a path, an array, a tensor"),
    "numbers and words": ((PIXELS, [0, 1, "cat", 0, 1, 0]), "data: some labels are numbers, others names"),
    "a label below 0": ([(IMAGE, -1)], r"data: train\[0\]: its label is -1; legal: a whole number from 0, or the name"),
    "a share of a label": ([(IMAGE, 0.5)], r"data: train\[0\]: its label is 0.5"),
    "a vector": ([(IMAGE, torch.eye(3)[0])], r"data: train\[0\]: its label is tensor"),
    "no label": ([(IMAGE, None)], r"data: train\[0\]: its label is None"),
    "missing": ([(IMAGE, float("nan"))], r"data: train\[0\]: its label is nan"),
    "normalized": ([(IMAGE - 1.0, 0)], r"data: train\[0\]: array with values from -1 to -1"),
    "floats of bytes": ((PIXELS * 1.0, WORDS), r"array with values from 0 to 255; .*: .astype\('uint8'\) makes it so"),
    "one class": ((PIXELS, ["cat"] * 6), "data: all images have one label in train; legal: at least two classes"),
    "a class of val alone": (
        {"train": (PIXELS, WORDS), "val": ([IMAGE], ["pig"])},
        "data: no image has the label pig in train",
    ),
    "no class": (
        Subset(type("Few", (Colours,), {"classes": ("red",)})(), range(4)),
        "a label is 3, but there are 1 classes; labels count from 0",
    ),
    "no name of a class": (
        type("Named", (list,), {"classes": ("dog", "cow")})(zip(PIXELS, WORDS, strict=True)),
        "a label is cat, but there are 2 classes; the names dog, cow",
    ),
}


@pytest.mark.parametrize(("given", "message"), WRONG.values(), ids=WRONG)
def test_what_is_no_data_set_is_told(given, message):
    with pytest.raises(ConfigError, match=message):
        hand_in_data(given)
