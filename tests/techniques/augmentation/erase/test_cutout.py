import pytest
import torch
from scipy import stats

from sota_exp.stages.batch import Batch
from sota_exp.stages.random import RandomStreams
from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.augmentation.erase.cutout import Cutout, compute_cutout_boxes


def erased(num, size, fraction, step=0):
    images = torch.ones(num, 3, size, size).to(memory_format=torch.channels_last)
    batch = Batch(images=images, targets=torch.ones(num, 1), weights=torch.ones(num), sources=torch.arange(num))
    return Cutout(length_fraction=fraction)(
        batch, 0.0, RandomStreams(seed=0).random_numbers("augmentation/erase", step)
    ).images


@pytest.mark.parametrize(
    "centre, expected", [((16, 16), [8, 8, 24, 24]), ((0, 0), [0, 0, 8, 8]), ((31, 2), [23, 0, 32, 10])]
)
def test_the_square_is_clipped_at_the_border(centre, expected):
    assert compute_cutout_boxes(torch.tensor([centre]), size=32, length=16).tolist() == [expected]


def test_every_image_loses_a_square_of_at_most_the_configured_side():
    holes = erased(2000, 32, 0.5)[:, 0] == 0
    heights, widths = holes.any(2).sum(1), holes.any(1).sum(1)
    assert torch.equal(holes.sum((1, 2)), heights * widths)
    assert heights.max() == 16 and heights.min() == 8 and widths.max() == 16 and widths.min() == 8


def test_centres_are_uniform_over_the_pixels():
    # A square of one pixel is its own centre.
    holes = (erased(4000, 8, 0.125)[:, 0] == 0).flatten(1)
    assert (holes.sum(1) == 1).all()
    assert stats.chisquare(holes.sum(0)).pvalue > 0.01


@pytest.mark.parametrize("num, size", [(1, 8), (3, 224)])
def test_output_is_repeatable_and_keeps_strides(num, size):
    first, again, other = erased(num, size, 0.5), erased(num, size, 0.5), erased(num, size, 0.5, step=1)
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert first.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("fraction", [0.0, 1.5])
def test_an_illegal_side_is_refused(fraction):
    with pytest.raises(InvalidValue, match="length_fraction"):
        Cutout(length_fraction=fraction)
