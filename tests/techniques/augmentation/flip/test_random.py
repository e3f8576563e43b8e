import pytest
import torch
from scipy import stats

from sota_exp.stages.batch import Batch
from sota_exp.stages.random import RandomStreams
from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.augmentation.flip.random import RandomFlip, flip_where


def make_batch(num, size=8):
    images = torch.randint(256, (num, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return Batch(
        images=images.to(memory_format=torch.channels_last),
        targets=torch.eye(4)[torch.arange(num) % 4],
        weights=torch.ones(num),
        sources=torch.arange(num),
    )


def flipped(p, batch, step=0):
    return RandomFlip(p=p)(batch, 0.0, RandomStreams(seed=0).random_numbers("augmentation/flip", step)).images


def test_only_the_chosen_images_are_flipped():
    images = make_batch(3).images
    ours = flip_where(images, torch.tensor([True, False, True]))
    assert torch.equal(ours, torch.stack([images[0].flip(-1), images[1], images[2].flip(-1)]))


@pytest.mark.parametrize("p, expected", [(0.0, lambda x: x), (1.0, lambda x: x.flip(-1))])
def test_limits(p, expected):
    batch = make_batch(64)
    assert torch.equal(flipped(p, batch), expected(batch.images))


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_fraction_of_flipped_images(p):
    batch = make_batch(3000)
    mirrored = (flipped(p, batch) != batch.images).flatten(1).any(1).sum().item()
    assert stats.binomtest(mirrored, 3000, p).pvalue > 0.01


@pytest.mark.parametrize("num, size", [(1, 8), (5, 33)])
def test_output_is_repeatable_and_keeps_type_and_strides(num, size):
    batch = make_batch(num, size)
    first, again = flipped(0.5, batch), flipped(0.5, batch)
    assert torch.equal(first, again) and first.dtype == torch.uint8
    assert first.is_contiguous(memory_format=torch.channels_last)


def test_a_probability_outside_its_range_is_refused():
    with pytest.raises(InvalidValue, match="^p="):
        RandomFlip(p=1.5)
