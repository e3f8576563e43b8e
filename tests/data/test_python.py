"""A data set that Python hands in is like any other, kept in the cache, and told where it is no such set."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.data import Subset, TensorDataset

from sota_exp.data.python import digest_and_classes
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
    from sota_exp.data.python import hand_in_data

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


def test_classes_without_names_are_numbers():
    images = torch.zeros(3, 3, 8, 8)
    assert digest_and_classes(TensorDataset(images, torch.tensor([0, 2, 1])))[1] == ["0", "1", "2"]


IMAGE = np.zeros((8, 8, 3), np.uint8)
WRONG = {
    "no length": (iter([]), "data: list_iterator has no length"),
    "no images": ([], "data: train has no images"),
    "no parts": ({"training": [(IMAGE, 0)]}, "data has the parts training; legal: train, and perhaps val and test"),
    "no pair": ([IMAGE], r"data: train\[0\] is ndarray; legal: a pair"),
    "no label": ([(IMAGE, "cat")], r"data: train\[0\]: invalid literal"),
    "a label below 0": ([(IMAGE, -1)], r"data: train\[0\] has the label -1"),
    "normalized": ([(IMAGE - 1.0, 0)], r"data: train\[0\]: array with values from -1 to -1"),
    "no class": (
        Subset(type("Few", (Colours,), {"classes": ("red",)})(), range(4)),
        "a label is 3, but there are 1 classes",
    ),
}


@pytest.mark.parametrize(("given", "message"), WRONG.values(), ids=WRONG)
def test_what_is_no_data_set_is_told(given, message):
    with pytest.raises(ConfigError, match=message):
        digest_and_classes(given)
