import pytest
import torch
from scipy import stats
from torchvision.transforms.v2 import TrivialAugmentWide

from sota_exp.stages.batch import Batch
from sota_exp.stages.random import RandomStreams
from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.augmentation.policy import ops
from sota_exp.techniques.augmentation.policy.trivialaugment import TrivialAugment, build_trivialaugment_space


def make_batch(num, size):
    images = torch.randint(256, (num, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return Batch(
        images=images.to(memory_format=torch.channels_last),
        targets=torch.ones(num, 1),
        weights=torch.ones(num),
        sources=torch.arange(num),
    )


def draws(step=0):
    return RandomStreams(seed=0).random_numbers("augmentation/policy", step)


def make(num_bins=31, fraction=32 / 224, interpolation="bilinear"):
    return TrivialAugment(num_magnitude_bins=num_bins, translate_fraction=fraction, interpolation=interpolation)


@pytest.mark.parametrize("num_bins", [2, 10, 31])
def test_space_is_torchvisions(num_bins):
    ours = build_trivialaugment_space(num_bins, 32.0)
    theirs = TrivialAugmentWide._AUGMENTATION_SPACE
    assert [ops.OP_NAMES[op].replace("_", "") for op in ours.ops] == [name.lower() for name in theirs]
    for row, signed, (name, (magnitudes, their_sign)) in zip(ours.table, ours.signed, theirs.items(), strict=True):
        expected = magnitudes(num_bins, 224, 224)
        expected = torch.zeros(num_bins) if expected is None else expected.float()
        # Our table contains the level at which solarize starts, torchvision's a fraction of 255.
        expected = (255 * expected.double()).ceil().float() if name == "Solarize" else expected
        assert torch.equal(row, expected), name
        assert bool(signed) == their_sign


def drawn_by(policy, num, size, monkeypatch):
    """The operations and magnitudes that `policy` passes to `ops.apply_ops`, in the order of the calls."""
    calls = []
    monkeypatch.setattr(
        ops, "apply_ops", lambda images, drawn, magnitudes, _: calls.append((drawn, magnitudes)) or images
    )
    blank = Batch(
        images=torch.zeros(1, 1, 1, 1, dtype=torch.uint8).expand(num, 3, size, size),
        targets=torch.ones(num, 1),
        weights=torch.ones(num),
        sources=torch.arange(num),
    )
    policy(blank, 0.0, draws())
    return calls


def test_operations_bins_and_signs_are_uniform(monkeypatch):
    [(drawn, magnitudes)] = drawn_by(make(), 8000, 8, monkeypatch)
    counts = drawn.bincount(minlength=len(ops.OP_NAMES))
    assert counts[ops.OP_NAMES.index("invert")] == 0
    assert stats.chisquare(counts[counts > 0]).pvalue > 0.01 and (counts > 0).sum() == 14
    shears = magnitudes[drawn <= ops.OP_NAMES.index("shear_y")]
    bins = (shears.abs() / 0.99 * 30).round().long().bincount(minlength=31)
    assert stats.chisquare(bins).pvalue > 0.01
    assert stats.binomtest((shears < 0).sum().item(), (shears != 0).sum().item()).pvalue > 0.01
    bits = magnitudes[drawn == ops.OP_NAMES.index("posterize")]
    # 31 bins rounded to 2…8 bits: three bins for 2 and for 8 bits, five for every other number of bits.
    expected = torch.tensor([3, 5, 5, 5, 5, 5, 3]).double() / 31 * len(bits)
    assert stats.chisquare(bits.long().bincount(minlength=9)[2:], expected).pvalue > 0.01


@pytest.mark.parametrize("size, farthest", [(224, 32), (64, 9), (32, 4), (8, 1)])
def test_translation_scales_with_the_image(size, farthest, monkeypatch):
    [(drawn, magnitudes)] = drawn_by(make(), 1000, size, monkeypatch)
    moved = magnitudes[(drawn == ops.OP_NAMES.index("translate_x")) | (drawn == ops.OP_NAMES.index("translate_y"))]
    assert moved.abs().trunc().max() == farthest


@pytest.mark.parametrize("num, size, interpolation", [(1, 8, "nearest"), (7, 33, "bilinear"), (3, 224, "bilinear")])
def test_output_is_repeatable_uint8_in_channels_last_strides(num, size, interpolation):
    batch = make_batch(num, size)
    first, again = (make(interpolation=interpolation)(batch, 0.0, draws()).images for _ in range(2))
    assert torch.equal(first, again) and first.dtype == torch.uint8 and first.shape == batch.images.shape
    assert first.is_contiguous(memory_format=torch.channels_last)


def test_one_operation_of_all_is_identity():
    batch = make_batch(600, 8)
    same = (make()(batch, 0.0, draws()).images == batch.images).flatten(1).all(1).sum().item()
    assert same >= 600 / 14 * 0.6


@pytest.mark.parametrize(
    "fields, name",
    [
        ({"num_bins": 1}, "num_magnitude_bins"),
        ({"fraction": 1.5}, "translate_fraction"),
        ({"interpolation": "cubic"}, "interpolation"),
    ],
)
def test_illegal_fields_are_refused(fields, name):
    with pytest.raises(InvalidValue, match=f"^{name}="):
        make(**fields)
