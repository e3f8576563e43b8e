import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from timm.data import auto_augment as of_timm
from torchvision.transforms.v2 import RandAugment as Reference

from sota_exp.stages.batch import Batch
from sota_exp.stages.random import RandomStreams
from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.augmentation.policy import ops
from sota_exp.techniques.augmentation.policy.randaugment import IDENTITY, RandAugment, build_randaugment_space
from tests.experiments import composed


def make_batch(num, size):
    images = torch.randint(256, (num, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return Batch(images=images, targets=torch.ones(num, 1), weights=torch.ones(num), sources=torch.arange(num))


def draws(step=0):
    return RandomStreams(seed=0).random_numbers("augmentation/policy", step)


def make(
    num_ops=2, magnitude=9, num_bins=31, interpolation="bilinear", p=1.0, magnitude_std=0.0, operations="torchvision"
):
    return RandAugment(
        num_ops=num_ops,
        magnitude=magnitude,
        num_magnitude_bins=num_bins,
        interpolation=interpolation,
        p=p,
        magnitude_std=magnitude_std,
        operations=operations,
    )


@pytest.mark.parametrize("num_bins, size", [(31, 224), (31, 32), (10, 48)])
def test_space_is_torchvisions(num_bins, size):
    ours, theirs = build_randaugment_space(num_bins, size), Reference._AUGMENTATION_SPACE
    assert [ops.OP_NAMES[op].replace("_", "") for op in ours.ops] == [name.lower() for name in theirs]
    for row, signed, (name, (magnitudes, their_sign)) in zip(ours.table, ours.signed, theirs.items(), strict=True):
        expected = magnitudes(num_bins, size, size)
        expected = torch.zeros(num_bins) if expected is None else expected.float()
        expected = (255 * expected.double()).ceil().float() if name == "Solarize" else expected
        assert torch.equal(row, expected), name
        assert bool(signed) == their_sign


#: Our operation → the name in timm's table.
TIMM = {
    "autocontrast": "AutoContrast",
    "translate_x": "TranslateXRel",
    "translate_y": "TranslateYRel",
    **{name: "".join(map(str.capitalize, name.split("_"))) for name in ("shear_x", "shear_y", "solarize_add")},
}
ENHANCED = ("color", "contrast", "brightness", "sharpness")


def of_timm_by_name(operations):
    """timm's operations at probability 1, by our names. Filled with black, bilinear, without noise."""
    names = of_timm.rand_augment_choices("", increasing=operations == "timm_inc1")
    hparams = {"img_mean": (0, 0, 0), "interpolation": Image.Resampling.BILINEAR}
    ours = {TIMM.get(name, name.capitalize()): name for name in ops.OP_NAMES}
    return {ours[name.removesuffix("Increasing")]: of_timm.AugmentOp(name, prob=1.0, hparams=hparams) for name in names}


@pytest.mark.parametrize("operations", ["timm", "timm_inc1"])
@pytest.mark.parametrize("num_bins, size", [(31, 224), (11, 32), (10, 48)])
def test_space_is_timms(num_bins, size, operations):
    ours, theirs = build_randaugment_space(num_bins, size, operations), of_timm_by_name(operations)
    assert {ops.OP_NAMES[op] for op in ours.ops} == set(theirs) and len(ours.ops) == 15
    for op, row, signed in zip(ours.ops, ours.table, ours.signed, strict=True):
        name = ops.OP_NAMES[op]
        level_to_argument = theirs[name].level_fn or (lambda level, _: (0.0,))
        drawn = [{level_to_argument(10 * at / (num_bins - 1), {})[0] for _ in range(40)} for at in range(num_bins)]
        unit = {"translate_x": size, "translate_y": size}.get(name, 1)
        for mine, found in zip(row.tolist(), drawn, strict=True):
            expected = [unit * value - (name in ENHANCED) for value in sorted(found)]
            assert sorted({-mine, mine} if signed else {mine}) == pytest.approx(expected, abs=1e-4), name
    if operations == "timm_inc1" and num_bins == 31:
        assert ours.table[ours.ops.tolist().index(ops.OP_NAMES.index("posterize")), 21] == 2


@pytest.mark.parametrize("operations", ["timm", "timm_inc1"])
def test_the_operations_do_what_timms_do(operations):
    """Within two levels: Pillow rounds means and gray levels. Geometry is stepped in test_ops.py."""
    space, theirs = build_randaugment_space(31, 32, operations), of_timm_by_name(operations)
    images = make_batch(6, 32).images.contiguous(memory_format=torch.channels_last)
    images[:3] = (images[:3].float() * 0.3 + 40).to(torch.uint8)
    for row, op in enumerate(space.ops.tolist()):
        if ops.OP_NAMES[op] in ops.GEOMETRIC:
            continue
        for at in (0, 3, 21, 30):
            magnitude = float(space.table[row, at])
            if ops.OP_NAMES[op] == "posterize" and magnitude == 0:
                continue  # Pillow refuses 0 bits; ours is black.
            argument = magnitude + 1 if ops.OP_NAMES[op] in ENHANCED else int(magnitude)
            made = ops.apply_ops(images, torch.full((6,), op), torch.full((6,), magnitude), "bilinear")
            called = theirs[ops.OP_NAMES[op]]
            arguments = () if called.level_fn is None else (argument,)
            for image, mine in zip(images, made, strict=True):
                expected = called.aug_fn(Image.fromarray(image.permute(1, 2, 0).numpy()), *arguments)
                expected = torch.from_numpy(np.array(expected)).permute(2, 0, 1)
                assert (mine.int() - expected.int()).abs().max() <= 2, (ops.OP_NAMES[op], at)


def test_operations_are_uniform_at_one_magnitude_and_independent(monkeypatch):
    calls = []
    monkeypatch.setattr(
        ops, "apply_ops", lambda images, drawn, magnitudes, _: calls.append((drawn, magnitudes)) or images
    )
    make(num_ops=3)(make_batch(4000, 8), 0.0, draws())
    assert len(calls) == 3
    for drawn, magnitudes in calls:
        counts = drawn.bincount(minlength=len(ops.OP_NAMES))
        assert (counts > 0).sum() == 14 and stats.chisquare(counts[counts > 0]).pvalue > 0.01
        turns = magnitudes[drawn == ops.OP_NAMES.index("rotate")]
        assert turns.abs().unique().tolist() == [9.0] and 0.3 < (turns > 0).float().mean() < 0.7
    pairs = torch.zeros(len(ops.OP_NAMES), len(ops.OP_NAMES)).index_put(
        (calls[0][0], calls[1][0]), torch.ones(4000), accumulate=True
    )
    assert stats.chi2_contingency(pairs[:-2, :-2]).pvalue > 0.01


@pytest.mark.parametrize("num, size", [(1, 8), (5, 33)])
def test_output_is_repeatable_uint8_in_channels_last_strides(num, size):
    batch = make_batch(num, size)
    first, again = (make()(batch, 0.0, draws()).images for _ in range(2))
    assert torch.equal(first, again) and first.dtype == torch.uint8 and first.shape == batch.images.shape
    assert first.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    "fields, name",
    [
        *[({"num_ops": 0}, "num_ops"), ({"magnitude": 31}, "magnitude"), ({"num_bins": 1}, "num_magnitude_bins")],
        ({"operations": "timm_inc0"}, "operations"),
    ],
)
def test_illegal_fields_are_refused(fields, name):
    with pytest.raises(InvalidValue, match=f"^{name}="):
        make(**fields)


def record(monkeypatch, transform, num=4000):
    """(operation, magnitude) of each image."""
    calls = []
    monkeypatch.setattr(ops, "apply_ops", lambda images, drawn, sizes, _: calls.append((drawn, sizes)) or images)
    transform(make_batch(num, 8), 0.0, draws())
    return calls


def test_each_operation_is_applied_with_probability_p(monkeypatch):
    identity = ops.OP_NAMES.index("identity")
    for drawn, _ in record(monkeypatch, make(p=0.5)):
        share = (drawn == identity).float().mean()
        assert abs(share - (0.5 + 0.5 / 14)) < 0.03
    assert all((drawn == identity).all() for drawn, _ in record(monkeypatch, make(p=0.0)))


def test_noise_of_magnitudes_is_normal_and_clipped(monkeypatch):
    for drawn, sizes in record(monkeypatch, make(magnitude=21, magnitude_std=1.5), num=20000):
        bins = sizes[drawn == ops.OP_NAMES.index("rotate")].abs()  # one degree per bin
        assert abs(bins.mean() - 21) < 0.15 and abs(bins.std() - (1.5**2 + 1 / 12) ** 0.5) < 0.15
    for drawn, sizes in record(monkeypatch, make(magnitude=30, magnitude_std=9.0)):
        assert sizes[drawn == ops.OP_NAMES.index("rotate")].abs().max() == 30


def test_the_draws_without_noise_are_those_of_the_published_policy(monkeypatch):
    (plain, sizes), *_ = record(monkeypatch, make(num_ops=1))
    (kept, same), *_ = record(monkeypatch, make(num_ops=1, p=0.99))
    is_kept = kept != ops.OP_NAMES.index("identity")
    assert torch.equal(plain[is_kept], kept[is_kept]) and torch.equal(sizes, same)


def test_the_recipe_of_timm_is_drawn(monkeypatch):
    """rand-m7-mstd0.5-inc1: half of the operations, at bits around 2 of 4 … 0."""
    policy = composed("recipe=rsb_a2").experiment.augmentation.policy
    for drawn, sizes in record(monkeypatch, policy, num=20000):
        counts = drawn.bincount(minlength=len(ops.OP_NAMES))
        assert (counts > 0).sum() == 16 and abs(counts[IDENTITY] / 20000 - 0.5) < 0.02
        bits = sizes[drawn == ops.OP_NAMES.index("posterize")]
        assert set(bits.tolist()) <= {1.0, 2.0} and (bits == 2).float().mean() > 0.8
