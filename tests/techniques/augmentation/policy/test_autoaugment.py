import pytest
import torch
from scipy import stats
from torchvision.transforms.v2 import AutoAugment as Reference
from torchvision.transforms.v2 import AutoAugmentPolicy

from sota_exp.stages.batch import Batch
from sota_exp.stages.random import RandomStreams
from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.augmentation.policy import ops
from sota_exp.techniques.augmentation.policy.autoaugment import (
    POLICIES,
    AutoAugment,
    build_autoaugment_space,
    load_sub_policies,
)


def make_batch(num, size):
    images = torch.randint(256, (num, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return Batch(images=images, targets=torch.ones(num, 1), weights=torch.ones(num), sources=torch.arange(num))


def draws(step=0):
    return RandomStreams(seed=0).random_numbers("augmentation/policy", step)


def test_the_policies_are_torchvisions():
    assert set(POLICIES) == {policy.value for policy in AutoAugmentPolicy}


@pytest.mark.parametrize("policy", POLICIES)
def test_pairs_are_torchvisions(policy):
    reference = Reference(AutoAugmentPolicy(policy))._policies
    expected = [[(name.lower(), p, magnitude or 0) for name, p, magnitude in pair] for pair in reference]
    rows, probabilities, bins = load_sub_policies(policy)
    names = [ops.OP_NAMES[op].replace("_", "") for op in build_autoaugment_space(32).ops]
    tables = zip(rows.tolist(), probabilities.double().tolist(), bins.tolist(), strict=True)
    ours = [[(names[row], round(p, 6), at) for row, p, at in zip(*pair, strict=True)] for pair in tables]
    assert ours == expected


@pytest.mark.parametrize("size", [32, 224])
def test_magnitudes_are_torchvisions(size):
    ours, theirs = build_autoaugment_space(size), Reference._AUGMENTATION_SPACE
    by_name = {ops.OP_NAMES[op].replace("_", ""): row for row, op in enumerate(ours.ops)}
    for name, (magnitudes, signed) in theirs.items():
        expected = magnitudes(10, size, size)
        expected = torch.zeros(10) if expected is None else expected.float()
        expected = (255 * expected.double()).ceil().float() if name == "Solarize" else expected
        row = by_name[name.lower()]
        assert torch.equal(ours.table[row], expected), name
        assert bool(ours.signed[row]) == signed


@pytest.mark.parametrize("policy", POLICIES)
def test_operations_are_drawn_with_their_probabilities(policy, monkeypatch):
    calls = []
    monkeypatch.setattr(
        ops, "apply_ops", lambda images, drawn, magnitudes, _: calls.append((drawn, magnitudes)) or images
    )
    AutoAugment(policy=policy, interpolation="nearest")(make_batch(6000, 8), 0.0, draws())
    rows, probabilities, _ = load_sub_policies(policy)
    for half, (drawn, _) in enumerate(calls):
        share = torch.zeros(len(ops.OP_NAMES), dtype=torch.float64)
        share.index_add_(0, build_autoaugment_space(8).ops[rows[:, half]], probabilities[:, half].double() / 25)
        share[ops.OP_NAMES.index("identity")] = 1 - share.sum()
        counts = drawn.bincount(minlength=len(ops.OP_NAMES))
        assert counts[share == 0].sum() == 0
        assert stats.chisquare(counts[share > 0], share[share > 0] * 6000, sum_check=False).pvalue > 0.01


def test_both_halves_belong_to_one_pair(monkeypatch):
    calls = []
    monkeypatch.setattr(ops, "apply_ops", lambda images, drawn, magnitudes, _: calls.append(drawn) or images)
    AutoAugment(policy="svhn", interpolation="nearest")(make_batch(2000, 8), 0.0, draws())
    pairs = {tuple(pair) for pair in build_autoaugment_space(8).ops[load_sub_policies("svhn")[0]].tolist()}
    identity = ops.OP_NAMES.index("identity")
    seen = {(a, b) for a, b in zip(calls[0].tolist(), calls[1].tolist(), strict=True) if identity not in (a, b)}
    assert len(seen) > 10 and seen <= pairs


@pytest.mark.parametrize("num, size, policy", [(1, 8, "svhn"), (5, 33, "cifar10"), (2, 224, "imagenet")])
def test_output_is_repeatable_uint8_in_channels_last_strides(num, size, policy):
    batch, stage = make_batch(num, size), AutoAugment(policy=policy, interpolation="bilinear")
    first, again = (stage(batch, 0.0, draws()).images for _ in range(2))
    assert torch.equal(first, again) and first.dtype == torch.uint8 and first.shape == batch.images.shape
    assert first.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("policy, interpolation", [("cifar100", "nearest"), ("svhn", "bicubic")])
def test_unknown_names_are_refused(policy, interpolation):
    with pytest.raises(InvalidValue):
        AutoAugment(policy=policy, interpolation=interpolation)
