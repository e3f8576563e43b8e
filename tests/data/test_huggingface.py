import logging
import sys

import numpy as np
import pytest
from PIL import Image

from sota_exp.config.build import build, prefix_invalid_values
from sota_exp.errors import ConfigError, RunFailed
from sota_exp.stages.data import DataSource
from tests import hub
from tests.data.options import read_data_option

CLASSES = hub.ClassLabel(["ant", "bee", "cat", "dog"])
FOUR = [index % 4 for index in range(40)]


def source(tmp_path, **changes):
    values = read_data_option("huggingface")
    named = {"cache": str(tmp_path / "cache"), "dataset": "someone/set"}
    return build(DataSource, values | named | changes, "data")


def opened(tmp_path, **changes):
    with prefix_invalid_values("data"):
        return source(tmp_path, **changes)()


@pytest.fixture
def offer(monkeypatch):
    """`offer(train=part)` puts these splits on the hub; returns the arguments of the requests to it."""
    asked = []

    def put(**parts):
        def load_dataset(path, name=None, *, revision=None, cache_dir=None):
            asked.append((path, name, revision, cache_dir))
            return dict(parts)

        monkeypatch.setitem(sys.modules, "datasets", hub.module(load_dataset))
        return asked

    return put


@pytest.mark.parametrize(("name", "is_told"), [("split", True), ("is_test", True), ("width", False)])
def test_a_column_that_may_be_the_split_is_told(tmp_path, offer, caplog, name, is_told):
    train = hub.part(FOUR, CLASSES)
    offer(train=hub.Dataset(train.features | {name: hub.Value("string")}, train.columns | {name: ["test"] * len(FOUR)}))
    with caplog.at_level(logging.WARNING):
        opened(tmp_path)
    assert (f"its column {name} is not read; val and test are cut from train at random" in caplog.text) == is_told


def test_splits_and_class_names_of_the_data_set(tmp_path, offer):
    asked = offer(
        test=hub.part(FOUR[:8], CLASSES, 200),
        train=hub.part(FOUR, CLASSES),
        validation=hub.part(FOUR[:4], CLASSES, 100),
    )
    data = opened(tmp_path, config="small", revision="v1")
    assert asked == [("someone/set", "small", "v1", str(tmp_path / "cache" / "downloads" / "huggingface"))]
    assert [len(part) for part in (data.train, data.val, data.test)] == [40, 4, 8]
    assert data.classes == ("ant", "bee", "cat", "dog")
    assert data.labels[data.test].tolist() == FOUR[:8]
    for place, seed in ((data.train[3], 3), (data.val[2], 102), (data.test[7], 207)):
        expected = np.asarray(hub.picture(seed, seed % 100 % 4))
        assert np.array_equal(data.images.image(int(place)).permute(1, 2, 0).numpy(), expected)


def test_missing_splits_are_taken_from_train_and_others_ignored(tmp_path, offer, caplog):
    offer(train=hub.part(FOUR, CLASSES), unsupervised=hub.part(FOUR, CLASSES))
    with caplog.at_level(logging.WARNING):
        data = opened(tmp_path)
    assert [len(part) for part in (data.train, data.val, data.test)] == [32, 4, 4]
    assert "its split unsupervised is ignored" in caplog.text


@pytest.mark.parametrize("secret", [-1, None])
def test_a_test_split_with_secret_labels_is_ignored(tmp_path, offer, caplog, secret):
    offer(train=hub.part(FOUR, CLASSES), test=hub.part([secret] * 8, CLASSES))
    with caplog.at_level(logging.WARNING):
        assert len(opened(tmp_path).labels) == 40
    assert "its split test has no labels" in caplog.text


@pytest.mark.parametrize(
    ("labels", "kind", "classes"),
    [
        ([["ant", "bee"][index % 2] for index in range(40)], hub.Value("string"), ("ant", "bee")),
        ([[7, 11][index % 2] for index in range(40)], hub.Value("int64"), ("7", "11")),
    ],
)
def test_labels_without_names(tmp_path, offer, labels, kind, classes):
    offer(train=hub.part(labels, kind, image="picture", label="labels"))
    data = opened(tmp_path)
    assert data.classes == classes and data.labels.tolist() == [0, 1] * 20


def test_columns_by_name(tmp_path, offer):
    part = hub.part(FOUR, CLASSES)
    part.features |= {"mask": hub.Image(), "fine": hub.ClassLabel(["a", "b"])}
    part.columns |= {"mask": part.columns["image"], "fine": [0, 1] * 20}
    offer(train=part)
    with pytest.raises(
        ConfigError,
        match=r"data\.image_column=null is not legal: .*image, label, note, mask.*2 could be it: image, mask",
    ):
        opened(tmp_path)
    with pytest.raises(ConfigError, match=r"data\.label_column=null is not legal: .*2 could be it: label, fine"):
        opened(tmp_path, image_column="image")
    with pytest.raises(ConfigError, match=r"data\.label_column=coarse is not legal: a column of the data set: image,"):
        opened(tmp_path, image_column="image", label_column="coarse")
    assert opened(tmp_path, image_column="image", label_column="fine").classes == ("a", "b")


def without(column):
    part = hub.part(FOUR, CLASSES)
    del part.features[column], part.columns[column]
    return part


ERRORS = {
    "no train": (
        {"test": hub.part(FOUR, CLASSES)},
        "dataset=someone/set is not legal: a data set with a split train; it has test",
    ),
    "val twice": (
        {"train": hub.part(FOUR, CLASSES), "val": 1, "validation": 2},
        "one split each to train, validate and test; it has train, val, validation",
    ),
    "no image": ({"train": without("image")}, "image_column=null is not legal: .*none was found"),
    "no label": ({"train": without("label")}, "label_column=null is not legal: .*none was found"),
    "one class": ({"train": hub.part(["x"] * 9, hub.Value("string"))}, "at least two classes; it has 1"),
    "several labels an image": (
        {"train": hub.part([[0, 1]] * 9, hub.Value("list"))},
        "one string or integer per image",
    ),
    "secret train": ({"train": hub.part([-1] * 9, CLASSES)}, "labels that occur in train; train has -1"),
    "a label of its own": (
        {"train": hub.part(["a", "b"] * 9, hub.Value("string")), "test": hub.part(["c"], hub.Value("string"))},
        "labels that occur in train; test has c",
    ),
    "too few": ({"train": hub.part(FOUR[:4], CLASSES)}, "enough images to train, validate and test; 4 were found"),
}


@pytest.mark.parametrize(("parts", "message"), ERRORS.values(), ids=ERRORS)
def test_errors_name_the_key(tmp_path, offer, parts, message):
    offer(**parts)
    with pytest.raises(ConfigError, match=rf"data\.{message}" if "=" in message else message):
        opened(tmp_path)


def test_without_the_package_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ConfigError, match=r"extra huggingface: pip install 'sota-exp\[huggingface\]'"):
        source(tmp_path)()


class NoConnection(Exception):
    pass


def test_an_error_of_the_hub_is_one_line(tmp_path, monkeypatch):
    def load_dataset(*_, **__):
        raise NoConnection("Couldn't reach 'someone/set'\non the Hub (LocalEntryNotFoundError)")

    monkeypatch.setitem(sys.modules, "datasets", hub.module(load_dataset))
    with pytest.raises(
        RunFailed, match=r"cannot download someone/set from .*huggingface\.co.*Couldn't reach 'someone/set' on the Hub"
    ) as caught:
        source(tmp_path)()
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("broken", [None, Image.new("F", (4, 4))])
def test_an_unreadable_image_is_named(tmp_path, offer, broken):
    part = hub.part(FOUR, CLASSES)
    part.columns["image"][17] = broken
    offer(train=part)
    with pytest.raises(RunFailed, match="someone/set: image 17 of train can't be read"):
        source(tmp_path)()


def test_a_store_needs_neither_hub_nor_package(tmp_path, offer, monkeypatch):
    asked = offer(train=hub.part(FOUR, CLASSES))
    first = source(tmp_path)()
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert source(tmp_path)().images is first.images and len(asked) == 1
    for change in ({"revision": "v2"}, {"config": "other"}, {"label_column": "label"}, {"max_side": 8}):
        with pytest.raises(ConfigError, match="extra huggingface"):
            source(tmp_path, **change)()
