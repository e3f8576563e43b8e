import numpy as np
import pytest
import torch

from sota_exp.config.build import build
from sota_exp.data.digits_on_photos import load_digits
from sota_exp.errors import ConfigError
from sota_exp.stages.data import DataSource
from tests.data.options import read_data_option


def source(cache, **changes):
    values = read_data_option("digits_on_photos")
    return build(DataSource, values | {"cache": str(cache)} | changes, "data")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return source(tmp_path_factory.mktemp("cache"))()


def test_pixels_are_pinned(data):
    """And the labels, splits and classes. Increment `PIXELS_VERSION` with any change, so that old caches are not used."""
    assert data.digest == "3258bad7683a895a318dc4c9796288ae"


def test_splits(data):
    assert [len(part) for part in (data.train, data.val, data.test)] == [3600, 400, 1000]
    assert len(torch.cat([data.train, data.val, data.test]).unique()) == len(data.images) == 5000
    assert torch.bincount(data.labels[data.test]).tolist() == [100] * 10


def test_digits_are_distinct_and_labelled_right():
    shapes, labels = load_digits()
    assert len(np.unique(shapes.reshape(len(shapes), -1), axis=0)) == len(shapes) == len(labels)
    # The middle of a 0 is empty and that of a 1 is full.
    middle = shapes[:, 12:16, 12:16].mean(axis=(1, 2))
    assert middle[labels == 0].mean() < 40 and middle[labels == 1].mean() > 150


def test_flips_and_rotations_are_declared_to_change_labels(tmp_path):
    assert source(tmp_path).label_preserving == []


def test_stored_size_out_of_range(tmp_path):
    with pytest.raises(ConfigError, match=r"data\.stored_size=8"):
        source(tmp_path, stored_size=8)
