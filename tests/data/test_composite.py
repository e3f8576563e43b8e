import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn import functional as F

from sota_exp.data import composite
from sota_exp.data.composite import (
    blend,
    compose_scenes,
    compute_resampling_weights,
    drop_duplicates,
    load_backgrounds,
    package_folder,
    place_shape,
    resample,
)
from sota_exp.data.store_writer import TEST, TRAIN

WORDS = (np.random.default_rng(0).integers(2**32, size=(2000, 9), dtype=np.uint64)).astype(np.uint64)


@pytest.mark.parametrize(("source", "target"), [(28, 28), (28, 60), (28, 9), (64, 512), (64, 16), (1, 7)])
def test_resampling_keeps_mass(source, target):
    weights = compute_resampling_weights(source, target)
    assert weights.shape == (target, source)
    assert (weights.sum(axis=1) == 1024).all() and (weights >= 0).all()


@pytest.mark.parametrize(("source", "target"), [(28, 60), (28, 29), (28, 14), (64, 48), (64, 100)])
def test_resample_agrees_with_torch(source, target):
    image = np.random.default_rng(2).integers(256, size=(source, source, 3), dtype=np.uint8)
    planes = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    reference = F.interpolate(planes, size=(target, target), mode="bilinear", antialias=True)[0].permute(1, 2, 0)
    ours = resample(image, target).astype(np.float64)
    # Weights are rounded to 1/1024: two levels at most, half of one from the last rounding.
    assert np.abs(ours - reference.numpy()).max() < 2
    assert np.array_equal(resample(image[:, :, 0], target), resample(image, target)[:, :, 0])


def test_resample_of_the_same_size_and_of_one_color():
    image = np.random.default_rng(3).integers(256, size=(28, 28), dtype=np.uint8)
    assert np.array_equal(resample(image, 28), image)
    assert (resample(np.full((28, 28), 255, np.uint8), 45) == 255).all()


def boxes(side):
    """Top, left and size of every placed square."""
    square = np.full((28, 28), 255, dtype=np.uint8)
    for words in WORDS:
        rows, columns = np.nonzero(place_shape(square, side, *words[3:6]))
        assert rows.max() - rows.min() == columns.max() - columns.min()
        yield rows.min(), columns.min(), rows.max() - rows.min() + 1


def test_shapes_are_placed_log_uniform_and_near_the_centre():
    top, left, size = np.array(list(boxes(64))).T
    assert size.min() == 28 and size.max() == 60
    logs = (np.log(size + np.random.default_rng(0).random(len(size)) - 0.5) - np.log(28)) / np.log(60 / 28)
    assert stats.kstest(logs, "uniform").pvalue > 0.01
    centres = np.stack([top + size / 2, left + size / 2])
    assert np.abs(centres - 32).max() <= 4.5
    assert np.abs(centres.mean(axis=1) - 32).max() < 0.5


def test_visible_on_any_background():
    """The mean inside differs from the mean of the patch by at least 32 levels in each channel."""
    everywhere = np.full((16, 16), 255, dtype=np.uint8)
    for level, words in zip(range(256), WORDS, strict=False):
        plain = np.full((16, 16, 3), level, dtype=np.uint8)
        difference = blend(plain, everywhere, words[6:9]).astype(int) - level
        assert np.abs(difference).min() >= 32 - 1  # one level is lost in rounding


def test_outside_the_shape_the_background_is_unchanged():
    patch = np.random.default_rng(4).integers(256, size=(64, 64, 3), dtype=np.uint8)
    mask = np.zeros((64, 64), dtype=np.uint8)
    assert np.array_equal(blend(patch, mask, WORDS[0, 6:9]), patch)
    mask[20:30, 20:30] = 255
    changed = (blend(patch, mask, WORDS[0, 6:9]) != patch).any(axis=2)
    assert not changed[mask == 0].any() and changed[mask == 255].mean() > 0.95


def test_splits_are_the_two_sides_of_each_photograph():
    regions = load_backgrounds()
    assert len(regions[TRAIN]) == len(regions[TEST]) == len(composite.PHOTOGRAPHS)
    for left, right in zip(regions[TRAIN], regions[TEST], strict=True):
        whole = left.shape[1] + right.shape[1]
        assert left.shape[1] == whole * 60 // 100
        assert min(*left.shape[:2], *right.shape[:2]) >= composite.SCENE_SIDE
    # The regions are cut from one array: adjacent, and without a shared column.
    assert all(left.base is right.base for left, right in zip(regions[TRAIN], regions[TEST], strict=True))
    assert not any(np.shares_memory(left, right) for left, right in zip(regions[TRAIN], regions[TEST], strict=True))


def test_every_scene_has_a_background_of_its_own_split(monkeypatch):
    plain = {part: [np.full((80, 90, 3), level, np.uint8)] * 9 for part, level in ((TRAIN, 10), (TEST, 200))}
    monkeypatch.setattr(composite, "load_backgrounds", lambda: plain)
    made = list(compose_scenes("any", np.full((50, 28, 28), 255, np.uint8), np.arange(50) % 5, 10, 32))
    assert [sample.image[0, 0, 0] for sample in made] == [10 if sample.split == TRAIN else 200 for sample in made]
    assert sum(sample.split == TEST for sample in made) == 10


@pytest.mark.parametrize("side", [48, 96])
def test_same_scenes_at_any_size(side):
    """Up to the rounding of positions to whole pixels, which differs between sizes."""
    squares = np.full((40, 28, 28), 255, dtype=np.uint8)
    stored, other = (list(compose_scenes("any", squares, np.arange(40) % 2, 8, size)) for size in (64, side))
    for one, two in zip(stored, other, strict=True):
        assert (one.label, one.split) == (two.label, two.split) and two.image.shape == (side, side, 3)
        likeness = np.corrcoef(resample(one.image, 32).ravel(), resample(two.image, 32).ravel())[0, 1]
        assert likeness > 0.85


def test_distinct():
    shapes = np.array([[[1]], [[0]], [[1]], [[2]], [[0]]], dtype=np.uint8)
    unique, labels = drop_duplicates(shapes, np.array([5, 6, 7, 8, 9]))
    assert unique.ravel().tolist() == [1, 0, 2] and labels.tolist() == [5, 6, 8]


def test_a_missing_package_is_named():
    with pytest.raises(ModuleNotFoundError, match="no_such_package is not installed"):
        package_folder("no_such_package")
