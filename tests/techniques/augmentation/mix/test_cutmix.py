import itertools
from dataclasses import replace

import pytest
import torch

from sota_exp.stages.batch import Batch
from sota_exp.stages.random import RandomStreams
from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.augmentation.mix.cutmix import CutMix, compute_cutmix_box, cutmix
from tests.rows import each_row


def make_batch(num, size=16, num_repeats=1):
    generator = torch.Generator().manual_seed(0)
    return Batch(
        images=torch.randn(num, 3, size, size, generator=generator).to(memory_format=torch.channels_last),
        targets=torch.eye(num),
        weights=torch.ones(num),
        sources=torch.arange(num) // num_repeats,
    )


def draws(step=0):
    return RandomStreams(seed=0).random_numbers("augmentation/mix", step)


@pytest.mark.parametrize(
    "lam, centre, expected",
    [
        (0.75, [0.5, 0.5], (8, 8, 24, 24)),
        (0.75, [0.0, 0.99], (0, 23, 8, 32)),
        (1.0, [0.3, 0.3], (9, 9, 9, 9)),
        (0.0, [0.5, 0.5], (0, 0, 32, 32)),
        (0.0, [0.0, 0.0], (0, 0, 16, 16)),
    ],
)
def test_the_box_is_clipped_at_the_border(lam, centre, expected):
    assert compute_cutmix_box(32, lam, centre) == expected


@each_row("step, size", itertools.product(range(12), [8, 25]))
def test_targets_are_the_area_actually_pasted(step, size):
    # All pixels of image i are i, so the fraction of each source can be counted.
    batch = make_batch(6, size)
    batch = batch.with_images(torch.arange(6.0).view(6, 1, 1, 1).expand(6, 3, size, size).contiguous())
    mixed = CutMix(alpha=1.0)(batch, 0.0, draws(step))
    counted = torch.stack([(mixed.images == i).float().mean((1, 2, 3)) for i in range(6)], dim=1)
    assert torch.allclose(mixed.targets, counted, atol=1e-6)
    assert torch.allclose(mixed.targets.sum(0), torch.ones(6), atol=1e-5)


def test_clipping_at_the_border_changes_the_pasted_area():
    batch, partner = make_batch(2, 32), torch.tensor([1, 0])
    inside, clipped = (
        cutmix(batch, partner, compute_cutmix_box(32, 0.75, centre)) for centre in ([0.5, 0.5], [0.0, 0.0])
    )
    assert inside.targets[0].tolist() == [0.75, 0.25] and clipped.targets[0].tolist() == [1 - 1 / 16, 1 / 16]


def test_pixels_outside_the_box_stay_and_inside_are_the_partners():
    batch, partner = make_batch(4), torch.tensor([2, 3, 0, 1])
    mixed = cutmix(batch, partner, (2, 3, 7, 16))
    assert torch.equal(mixed.images[:, :, 2:7, 3:16], batch.images[partner][:, :, 2:7, 3:16])
    outside = torch.ones(16, 16, dtype=torch.bool)
    outside[2:7, 3:16] = False
    assert torch.equal(mixed.images[:, :, outside], batch.images[:, :, outside])
    assert torch.equal(mixed.sources, batch.sources)


def test_an_empty_box_is_the_batch_and_a_full_one_the_partners():
    batch, partner = make_batch(4), torch.tensor([1, 2, 3, 0])
    kept, swapped = cutmix(batch, partner, (5, 5, 5, 5)), cutmix(batch, partner, (0, 0, 16, 16))
    assert torch.equal(kept.images, batch.images) and torch.equal(kept.targets, batch.targets)
    assert torch.equal(swapped.images, batch.images[partner]) and torch.equal(swapped.targets, batch.targets[partner])


def test_pairs_have_different_sources_with_repeated_augmentation():
    batch = make_batch(16, num_repeats=4)
    targets = torch.eye(4)[batch.sources]
    mixed = [CutMix(alpha=1.0)(replace(batch, targets=targets), 0.0, draws(step)) for step in range(8)]
    own = torch.stack([(m.targets * targets).sum(1) for m in mixed])
    # One box per batch: every sample keeps the same fraction; in a pair of equal sources it would be 1.
    assert (own == own[:, :1]).all() and own.min() < 0.9


@pytest.mark.parametrize("num, size", [(1, 8), (2, 224)])
def test_output_is_repeatable_and_keeps_type_and_strides(num, size):
    batch = make_batch(num, size)
    before = batch.images.clone()
    first, again = (CutMix(alpha=1.0)(batch, 0.0, draws()).images for _ in range(2))
    assert torch.equal(first, again) and torch.equal(batch.images, before)
    assert first.is_contiguous(memory_format=torch.channels_last)


def test_an_alpha_of_zero_is_refused():
    with pytest.raises(InvalidValue, match="augmentation/mix=none"):
        CutMix(alpha=0.0)
