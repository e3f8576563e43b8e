import gzip
import io
import os
import pickle
import sys

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn import functional as F

from sota_exp.config.build import build
from sota_exp.data.animals_on_photos import CLASSES, ArrayUnpickler, load_array, load_silhouettes
from sota_exp.data.composite import load_backgrounds
from sota_exp.data.splits import draw_stratified
from sota_exp.errors import ConfigError
from sota_exp.stages.data import DataSource
from tests.data.options import read_data_option


def source(cache, **changes):
    values = read_data_option("animals_on_photos")
    return build(DataSource, values | {"cache": str(cache)} | changes, "data")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return source(tmp_path_factory.mktemp("cache"))()


def test_pixels_are_pinned(data):
    """And the labels, splits and classes. Increment `PIXELS_VERSION` with any change, so that old caches are not used."""
    assert data.digest == "b04f7ba4dd57f50a0af9ef5b66040729"


def test_sizes_of_the_splits(data):
    assert [len(part) for part in (data.train, data.val, data.test)] == [7304, 812, 1600]
    assert len(torch.cat([data.train, data.val, data.test]).unique()) == len(data.images) == 9716
    for part in (data.train, data.val, data.test):
        share = torch.bincount(data.labels[part], minlength=10) / len(part)
        assert share.min() > 0.08 and share.max() < 0.11
        assert (part.diff() > 0).all()


def test_no_silhouette_is_in_two_splits():
    shapes, labels = load_silhouettes()
    assert len(np.unique(shapes.reshape(len(shapes), -1), axis=0)) == len(shapes) == len(labels) == 9716


def test_classes_are_the_ones_the_package_names():
    assert CLASSES == ("bear", "bird", "cat", "cow", "dog", "elephant", "giraffe", "horse", "sheep", "zebra")
    shapes, labels = load_silhouettes()
    # Zebras alone are striped: grey inside. Giraffes stand tall, and few animals have an elephant's area.
    grey = ((shapes > 40) & (shapes < 215)).mean(axis=(1, 2))
    assert np.argmax([grey[labels == label].mean() for label in range(10)]) == CLASSES.index("zebra")
    area = (shapes > 127).mean(axis=(1, 2))
    assert np.mean(area[labels == CLASSES.index("elephant")]) > 1.5 * np.mean(area[labels == CLASSES.index("giraffe")])


def test_val_is_taken_by_seed_and_fraction_from_one_store(data):
    cache = data.images.path.parents[1]
    other = source(cache, split_seed=1, val_fraction=0.2)()
    assert other.images is data.images and other.digest == data.digest
    assert torch.equal(other.test, data.test)
    assert len(other.val) == 1623
    assert len(np.intersect1d(other.val, data.val)) < 300


def pixels(data, part, side):
    """Float [B, 3 * side * side] in [0, 1]."""
    images = torch.stack([data.images.image(index) for index in part.tolist()]).float() / 255
    return F.interpolate(images, size=(side, side), mode="area").flatten(1).numpy()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_linear_classifier_learns_little(data):
    """Above chance, so the labels are right; below 0.3, so the set is not trivial."""
    train = torch.from_numpy(draw_stratified(data.train.numpy(), data.labels.numpy(), 2000, 0))
    model = LogisticRegression(C=0.01, max_iter=40).fit(pixels(data, train, 16), data.labels[train])
    accuracy = model.score(pixels(data, data.test, 16), data.labels[data.test])
    assert 0.15 < accuracy < 0.3


def test_unpickler_refuses_all_but_arrays(tmp_path):
    ran = tmp_path / "ran"

    class Harmful:
        def __reduce__(self):
            return os.mkdir, (str(ran),)

    for harmful in (Harmful(), {"x": Harmful()}):
        with pytest.raises(pickle.UnpicklingError, match="is not part of an array"):
            ArrayUnpickler(io.BytesIO(pickle.dumps(harmful))).load()
    assert not ran.exists()


@pytest.mark.parametrize("array", [np.arange(12, dtype=np.uint8).reshape(3, 4), np.arange(3)])
def test_load_array(tmp_path, array):
    with gzip.open(tmp_path / "array.gz", "wb") as file:
        pickle.dump(array, file, protocol=4)
    assert np.array_equal(load_array(tmp_path / "array.gz"), array)


def test_the_packages_are_read_and_never_imported(monkeypatch):
    packages = {"animal_shape_mnist", "skimage", "sklearn"}
    for name in packages:
        monkeypatch.delitem(sys.modules, name, raising=False)
    load_silhouettes()
    load_backgrounds()
    assert not packages & set(sys.modules)


@pytest.mark.parametrize("stored_size", [15, 513])
def test_stored_size_out_of_range(tmp_path, stored_size):
    with pytest.raises(ConfigError, match=f"data.stored_size={stored_size}"):
        source(tmp_path, stored_size=stored_size)
