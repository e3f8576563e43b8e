import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from scipy import stats
from torch import Tensor

from sota_exp.stages.batch import Batch
from sota_exp.stages.loss import Loss
from sota_exp.stages.random import RandomStreams
from sota_exp.techniques.augmentation.mix.cutmix import cutmix
from sota_exp.techniques.augmentation.mix.mixup import mixup
from sota_exp.techniques.augmentation.mix.pairing import choose_partners, mix_targets
from sota_exp.techniques.loss.binary_cross_entropy import BinaryCrossEntropy
from sota_exp.techniques.loss.cross_entropy import CrossEntropy
from sota_exp.techniques.regularization.distillation.logits import DistilledLoss
from sota_exp.techniques.regularization.smoothing.label_smoothing import LabelSmoothing
from tests.rows import each_row


def noise(num, seed=0):
    return torch.rand(num, 3, generator=torch.Generator().manual_seed(seed))


def fewest_own_pairs(sources):
    return max(0, 2 * sources.unique(return_counts=True)[1].max().item() - len(sources))


def own_pairs(sources, partner):
    return (sources[partner] == sources).sum().item()


@each_row("seed", range(200))
def test_any_batch_has_as_few_pairs_of_equal_source_as_possible(seed):
    generator = torch.Generator().manual_seed(seed)
    num, distinct = torch.randint(1, 40, (2,), generator=generator).tolist()
    # Powers make some sources far more frequent than others.
    sources = (torch.rand(num, generator=generator) ** (1 + seed % 4) * distinct).long() * 1000 + 7
    partner = choose_partners(sources, noise(num, seed))
    assert torch.equal(partner.sort().values, torch.arange(num))
    assert own_pairs(sources, partner) == fewest_own_pairs(sources)


@each_row("num_repeats, num", itertools.product([1, 2, 3, 4, 8], [16, 17, 63, 256]))
def test_repeated_augmentation_never_pairs_an_image_with_itself(num, num_repeats):
    sources = torch.randperm(1000)[:num].repeat_interleave(num_repeats)[:num]
    for seed in range(20):
        assert own_pairs(sources, choose_partners(sources, noise(num, seed))) == 0


def test_pairing_by_roll_would_pair_copies():
    sources = torch.arange(64).repeat_interleave(4)
    assert own_pairs(sources, torch.arange(256).roll(1)) == 192


@pytest.mark.parametrize("num", [1, 2, 5, 32])
def test_a_batch_of_one_source_is_still_permuted(num):
    partner = choose_partners(torch.full((num,), 3), noise(num))
    assert torch.equal(partner.sort().values, torch.arange(num))


def test_noise_with_ties_at_the_edges_of_its_range_gives_the_fewest_pairs():
    sources = torch.arange(8).repeat_interleave(4)
    for value in (0.0, 1 - 2**-24):
        assert own_pairs(sources, choose_partners(sources, torch.full((32, 3), value))) == 0


@pytest.mark.parametrize("num_repeats", [1, 2])
def test_every_sample_of_another_source_is_an_equally_likely_partner(num_repeats):
    sources = torch.arange(12 // num_repeats).repeat_interleave(num_repeats)
    counts = torch.zeros(12, 12)
    for seed in range(3000):
        counts[torch.arange(12), choose_partners(sources, noise(12, seed))] += 1
    foreign = counts[sources[:, None] != sources]
    assert foreign.sum() == 36000
    assert stats.chisquare(foreign.double()).pvalue > 0.01


def test_copies_of_an_image_meet_different_partners():
    sources = torch.arange(64).repeat_interleave(4)
    met = sources[choose_partners(sources, noise(256))].view(64, 4)
    assert sum(len(row.unique()) for row in met) > 3.5 * 64


def test_equal_noise_gives_equal_pairs():
    sources = torch.arange(40) // 3
    assert torch.equal(choose_partners(sources, noise(40)), choose_partners(sources, noise(40)))


WEIGHTS = torch.tensor([1.0, 0.0, 0.3, 2.0, 0.0, 0.0, 1.0, 1.0])
PARTNER = torch.tensor([1, 0, 3, 2, 5, 4, 7, 6])

MIXES: dict[str, Callable[[Batch], Batch]] = {
    "mixup": lambda batch: mixup(batch, PARTNER, 0.75),
    "cutmix": lambda batch: cutmix(batch, PARTNER, (0, 0, 4, 4)),
}

LOSSES: dict[str, Loss] = {
    "cross-entropy": CrossEntropy(),
    "binary, mean": BinaryCrossEntropy(class_reduction="mean", target_threshold=None),
    "binary, sum": BinaryCrossEntropy(class_reduction="sum", target_threshold=None),
    "distilled": DistilledLoss(loss=CrossEntropy(), alpha=0.4, temperature=4.0),
}


def weighted_batch(weights: Tensor = WEIGHTS) -> Batch:
    generator = torch.Generator().manual_seed(0)
    return Batch(
        images=torch.randn(8, 3, 8, 8, generator=generator),
        targets=torch.eye(5)[torch.randint(5, (8,), generator=generator)],
        weights=weights,
        sources=torch.arange(8),
    )


def smooth(batch: Batch) -> Batch:
    rng = RandomStreams(seed=0).random_numbers("regularization/smoothing", 0)
    return LabelSmoothing(label_smoothing=0.1)(batch, 0.0, rng)


@each_row("mix, loss, then", itertools.product(MIXES.values(), LOSSES.values(), [smooth, lambda batch: batch]))
def test_the_weighted_loss_of_a_pair_is_the_mixture_of_both_weighted_losses(
    mix: Callable[[Batch], Batch], loss: Loss, then: Callable[[Batch], Batch]
) -> None:
    logits, teacher = torch.randn(2, 8, 5, generator=torch.Generator().manual_seed(1))
    batch = replace(weighted_batch(), teacher_logits=teacher)
    mixed, plain = then(mix(batch)), then(batch)
    of_partners = replace(plain, targets=plain.targets[PARTNER])
    found = loss(logits, mixed) * mixed.weights
    expected = 0.75 * WEIGHTS * loss(logits, plain) + 0.25 * WEIGHTS[PARTNER] * loss(logits, of_partners)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("mix", MIXES.values(), ids=MIXES)
def test_a_pseudo_label_of_weight_zero_is_in_no_target_and_targets_sum_to_one(mix: Callable[[Batch], Batch]) -> None:
    mixed, plain = mix(weighted_batch()), weighted_batch()
    assert torch.equal(mixed.targets[:2], plain.targets[[0, 0]])
    torch.testing.assert_close(mixed.weights[:2], torch.tensor([0.75, 0.25]))
    torch.testing.assert_close(mixed.targets.sum(1), torch.ones(8))
    assert mixed.weights[4:6].tolist() == [0, 0]
    torch.testing.assert_close((mixed.targets * mixed.weights[:, None]).sum(), WEIGHTS.sum())


def test_targets_of_equal_weights_are_mixed_as_images_are() -> None:
    for weight in (1.0, 0.25):
        batch = weighted_batch(torch.full((8,), weight))
        mixed = mix_targets(batch, PARTNER, 0.3)
        assert torch.equal(mixed.targets, batch.targets.lerp(batch.targets[PARTNER], 0.3))
        assert torch.equal(mixed.weights, batch.weights)
