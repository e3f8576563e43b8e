import pytest
import torch
from scipy import stats
from torchvision.transforms.v2 import AugMix as Reference

from sota_exp.stages.batch import Batch
from sota_exp.stages.random import RandomStreams
from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.augmentation.policy import ops
from sota_exp.techniques.augmentation.policy.augmix import AugMix, build_augmix_space, compute_blend_weights


def make_batch(num, size):
    images = torch.randint(256, (num, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return Batch(images=images, targets=torch.ones(num, 1), weights=torch.ones(num), sources=torch.arange(num))


def draws(step=0):
    return RandomStreams(seed=0).random_numbers("augmentation/policy", step)


def make(severity=3, mixture_width=3, chain_depth=-1, all_ops=True):
    return AugMix(
        severity=severity,
        mixture_width=mixture_width,
        chain_depth=chain_depth,
        all_ops=all_ops,
        interpolation="bilinear",
    )


@pytest.mark.parametrize("all_ops", [True, False])
def test_space_is_torchvisions(all_ops):
    theirs = Reference._AUGMENTATION_SPACE if all_ops else Reference._PARTIAL_AUGMENTATION_SPACE
    ours = build_augmix_space(48, all_ops)
    by_name = {ops.OP_NAMES[op].replace("_", ""): row for row, op in enumerate(ours.ops)}
    assert set(by_name) == {name.lower() for name in theirs}
    for name, (magnitudes, signed) in theirs.items():
        expected = magnitudes(10, 48, 48)
        expected = torch.zeros(10) if expected is None else expected.float()
        expected = (255 * expected.double()).ceil().float() if name == "Solarize" else expected
        row = by_name[name.lower()]
        assert torch.equal(ours.table[row], expected), name
        assert bool(ours.signed[row]) == signed


def test_weights_are_beta_and_dirichlet():
    weights = compute_blend_weights(torch.rand(3000, 4, generator=torch.Generator().manual_seed(0)))
    assert (weights >= 0).all() and torch.allclose(weights.sum(1), torch.ones(3000))
    assert stats.kstest(weights[:, 0], "uniform").pvalue > 0.01
    # One of the three coordinates of a uniform point on the simplex follows Beta(1, 2).
    for part in weights[:, 1:].div(1 - weights[:, :1]).unbind(1):
        assert stats.kstest(part, stats.beta(1, 2).cdf).pvalue > 0.01


def chain_lengths(depth, monkeypatch):
    """Number of 3000 chains with 0, 1, 2… operations."""
    calls = []
    monkeypatch.setattr(ops, "apply_ops", lambda images, drawn, magnitudes, _: calls.append(drawn) or images)
    make(chain_depth=depth).apply_chain(torch.zeros(3000, 3, 8, 8, dtype=torch.uint8), draws())
    return sum((drawn != ops.OP_NAMES.index("identity")).long() for drawn in calls).bincount().tolist()


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_chains_have_the_configured_depth(depth, monkeypatch):
    assert chain_lengths(depth, monkeypatch) == [0] * depth + [3000]


def test_random_depth_is_uniform_from_one_to_three(monkeypatch):
    none, *lengths = chain_lengths(-1, monkeypatch)
    assert none == 0 and len(lengths) == 3 and stats.chisquare(lengths).pvalue > 0.01


def test_operations_that_change_nothing_leave_the_image(monkeypatch):
    monkeypatch.setattr(ops, "apply_ops", lambda images, *_: images)
    batch = make_batch(50, 16)
    assert torch.equal(make()(batch, 0.0, draws()).images, batch.images)


def test_the_blend_is_the_weighted_sum(monkeypatch):
    monkeypatch.setattr(ops, "apply_ops", lambda images, *_: torch.zeros_like(images))
    batch = make_batch(50, 16)
    keep = compute_blend_weights(draws().uniform(50, 4))[:, 0].view(-1, 1, 1, 1)
    assert (make()(batch, 0.0, draws()).images.float() - batch.images * keep).abs().max() <= 1


@pytest.mark.parametrize("num, size", [(1, 8), (5, 33)])
def test_output_is_repeatable_uint8(num, size):
    batch = make_batch(num, size)
    batch = batch.with_images(batch.images.to(memory_format=torch.channels_last))
    first, again = (make()(batch, 0.0, draws()).images for _ in range(2))
    assert torch.equal(first, again) and first.dtype == torch.uint8 and not torch.equal(first, batch.images)
    assert first.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    "fields, name",
    [({"severity": 11}, "severity"), ({"mixture_width": 0}, "mixture_width"), ({"chain_depth": 0}, "chain_depth")],
)
def test_illegal_fields_are_refused(fields, name):
    with pytest.raises(InvalidValue, match=f"^{name}="):
        make(**fields)
