import pytest
import torch

from sota_exp.config.build import build
from sota_exp.errors import ConfigError
from sota_exp.stages.data import DataSource
from tests.data.options import read_data_option


def source(cache, **changes):
    values = read_data_option("fake")
    return build(DataSource, values | {"cache": str(cache)} | changes, "data")


def test_pinned(tmp_path):
    assert source(tmp_path)().digest == "48795f187b0b05b589bc8dc9bda924bf"


def test_splits_and_sizes(tmp_path):
    data = source(tmp_path)()
    assert [len(part) for part in (data.train, data.val, data.test)] == [480, 60, 60]
    sides = {side for index in range(600) for side in data.images.size(index)}
    assert sides == set(range(32, 49))
    for part in (data.train, data.val, data.test):
        assert len(torch.bincount(data.labels[part], minlength=10).unique()) == 1


def test_equal_sides_give_images_of_one_size(tmp_path):
    data = source(tmp_path, max_side=32, num_images=30)()
    assert (data.images.sizes(torch.arange(30)) == 32).all()


@pytest.mark.parametrize("num_classes", [2, 10, 36])
def test_learnable_from_the_mean_color(tmp_path, num_classes):
    data = source(tmp_path, num_classes=num_classes, num_images=num_classes * 12)()
    colors = torch.stack([data.images.image(i).float().mean((1, 2)) for i in range(len(data.labels))])
    means = torch.stack([colors[data.train][data.labels[data.train] == c].mean(0) for c in range(num_classes)])
    assert torch.equal(torch.cdist(colors[data.test], means).argmin(1), data.labels[data.test])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_classes": 1}, "num_classes=1"),
        ({"num_classes": 37}, "num_classes=37"),
        ({"num_images": 29}, "num_images=29 is not legal: at least three per class"),
        ({"min_side": 7}, "min_side=7"),
        ({"max_side": 31}, "max_side=31 is not legal: pixels, at least min_side=32"),
        ({"val_fraction": 0.5}, "val_fraction=0.5"),
        ({"label_preserving": ["flip"]}, "label_preserving"),
    ],
)
def test_illegal_values(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        source(tmp_path, **changes)
