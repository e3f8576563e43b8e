from dataclasses import replace

import pytest
import torch
from torchvision.transforms.v2 import MixUp as Reference

from sota_exp.stages.batch import Batch
from sota_exp.stages.random import RandomStreams
from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.augmentation.mix.mixup import Mixup, mixup
from sota_exp.techniques.augmentation.mix.pairing import choose_partners


def make_batch(num, size=8, num_repeats=1):
    generator = torch.Generator().manual_seed(0)
    return Batch(
        images=torch.randn(num, 3, size, size, generator=generator).to(memory_format=torch.channels_last),
        targets=torch.eye(10)[torch.randint(10, (num,), generator=generator)],
        weights=torch.ones(num),
        sources=torch.arange(num) // num_repeats,
    )


def draws(step=0):
    return RandomStreams(seed=0).random_numbers("augmentation/mix", step)


def test_agrees_with_torchvision_on_the_same_pairs():
    batch, lam = make_batch(8), 0.3
    ours = mixup(batch, torch.arange(8).roll(1), lam)
    reference = Reference(alpha=0.2, num_classes=10)
    labels = batch.targets.argmax(1)
    expected = reference.transform(batch.images, {"labels": labels, "batch_size": 8, "lam": lam})
    assert torch.allclose(ours.images, expected, atol=1e-6)
    assert torch.allclose(ours.targets, reference._mixup_label(labels, lam=lam), atol=1e-6)


def test_targets_and_weights_keep_their_mass():
    batch = make_batch(33)
    mixed = Mixup(alpha=0.2)(batch, 0.0, draws())
    assert torch.allclose(mixed.targets.sum(1), torch.ones(33))
    assert torch.allclose(mixed.targets.sum(0), batch.targets.sum(0), atol=1e-5)
    assert torch.allclose(mixed.weights.sum(), batch.weights.sum())
    assert torch.allclose(mixed.images.sum(), batch.images.sum(), atol=1e-2)
    assert torch.equal(mixed.sources, batch.sources)


@pytest.mark.parametrize("lam, rows", [(1.0, [0, 1, 2, 3]), (0.0, [1, 2, 3, 0])])
def test_limits(lam, rows):
    batch, partner = make_batch(4), torch.tensor([1, 2, 3, 0])
    mixed = mixup(batch, partner, lam)
    assert torch.equal(mixed.images, batch.images[rows]) and torch.equal(mixed.targets, batch.targets[rows])


def test_one_lambda_is_drawn_per_batch_and_pairs_have_different_sources():
    batch = make_batch(16, num_repeats=4)
    rng = draws()
    lam = rng.shared_beta(0.2)
    partner = choose_partners(batch.sources, rng.uniform(16, 3))
    mixed = Mixup(alpha=0.2)(batch, 0.0, draws())
    assert torch.equal(mixed.images, mixup(batch, partner, lam).images)
    assert (batch.sources[partner] != batch.sources).all()


def test_ranks_mix_with_the_same_lambda():
    batch = replace(make_batch(6), targets=torch.eye(6))
    ranks = [RandomStreams(seed=0, rank=rank, world_size=2).random_numbers("augmentation/mix", 1) for rank in (0, 1)]
    kept = [Mixup(alpha=1.0)(batch, 0.0, rng).targets.diagonal() for rng in ranks]
    assert torch.equal(kept[0], kept[1]) and (kept[0] == kept[0][0]).all()


@pytest.mark.parametrize("num, size", [(1, 8), (2, 224)])
def test_output_is_repeatable_and_keeps_type_and_strides(num, size):
    batch = make_batch(num, size)
    first, again = (Mixup(alpha=1.0)(batch, 0.0, draws()).images for _ in range(2))
    assert torch.equal(first, again) and first.dtype == torch.float32
    assert first.is_contiguous(memory_format=torch.channels_last)


def test_an_alpha_of_zero_is_refused():
    with pytest.raises(InvalidValue, match="augmentation/mix=none"):
        Mixup(alpha=0.0)
