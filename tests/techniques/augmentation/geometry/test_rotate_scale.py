import pytest
import torch
from torchvision.transforms.v2 import functional as F

from sota_exp.data.resize import apply_affine
from sota_exp.stages.batch import Batch
from sota_exp.stages.random import RandomStreams
from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.augmentation.geometry.rotate_scale import RotateScale, compute_rotate_scale_matrices


def make_batch(num, size):
    coarse = torch.rand(num, 3, 5, 5, generator=torch.Generator().manual_seed(0)) * 255
    images = torch.nn.functional.interpolate(coarse, (size, size), mode="bilinear").byte()
    return Batch(
        images=images.to(memory_format=torch.channels_last),
        targets=torch.ones(num, 1),
        weights=torch.ones(num),
        sources=torch.arange(num),
    )


def draws(step=0):
    return RandomStreams(seed=0).random_numbers("augmentation/geometry", step)


def make(degrees=15.0, scale=(0.85, 1.15), fraction=0.1, interpolation="bilinear"):
    return RotateScale(degrees=degrees, scale=list(scale), translate_fraction=fraction, interpolation=interpolation)


@pytest.mark.parametrize("size", [8, 31, 64])
@pytest.mark.parametrize(
    "angle, scale, shift",
    [(0, 1, (0, 0)), (30, 1, (0, 0)), (-15, 0.85, (3, -2)), (90, 1.5, (1, 0)), (170, 1.1, (0, 5))],
)
def test_agrees_with_torchvisions_affine_within_a_level(size, angle, scale, shift):
    images = make_batch(4, size).images
    column = torch.ones(4)
    matrices = compute_rotate_scale_matrices(angle * column, scale * column, torch.tensor([shift]).float().expand(4, 2))
    expected = F.affine(
        images.contiguous(), angle, list(shift), scale, [0.0, 0.0], interpolation=F.InterpolationMode.BILINEAR
    )
    assert (apply_affine(images, matrices, "bilinear").int() - expected.int()).abs().max() <= 1


def test_no_range_changes_nothing():
    batch = make_batch(5, 24)
    assert torch.equal(make(0.0, (1.0, 1.0), 0.0)(batch, 0.0, draws()).images, batch.images)


def test_draws_fill_their_ranges(monkeypatch):
    seen = []
    monkeypatch.setattr(
        "sota_exp.techniques.augmentation.geometry.rotate_scale.apply_affine",
        lambda images, matrices, _: seen.append(matrices) or images,
    )
    make(20.0, (0.5, 2.0), 0.25)(make_batch(4000, 8), 0.0, draws())
    forward = seen[0][:, :, :2].inverse()
    zoom = forward.det().sqrt()
    angle = torch.atan2(forward[:, 1, 0], forward[:, 0, 0]).rad2deg()
    shift = -(forward @ seen[0][:, :, 2:])[..., 0]
    for values, low, high in [
        (zoom, 0.5, 2.0),
        (angle, -20.0, 20.0),
        (shift[:, 0], -2.0, 2.0),
        (shift[:, 1], -2.0, 2.0),
    ]:
        span = high - low
        assert low - 1e-4 <= values.min() < low + 0.02 * span and high - 0.02 * span < values.max() <= high + 1e-4
        assert abs(values.mean() - (low + high) / 2) < 0.03 * span


@pytest.mark.parametrize("num, size, interpolation", [(1, 8, "nearest"), (3, 224, "bilinear")])
def test_output_is_repeatable_uint8_in_channels_last_strides(num, size, interpolation):
    batch = make_batch(num, size)
    first, again = (make(interpolation=interpolation)(batch, 0.0, draws()).images for _ in range(2))
    assert torch.equal(first, again) and first.dtype == torch.uint8 and not torch.equal(first, batch.images)
    assert first.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    "fields, name",
    [
        ({"degrees": -1.0}, "degrees"),
        ({"scale": (1.2, 0.8)}, "scale"),
        ({"scale": (1.0,)}, "scale"),
        ({"fraction": 2.0}, "translate_fraction"),
        ({"interpolation": "area"}, "interpolation"),
    ],
)
def test_illegal_fields_are_refused(fields, name):
    with pytest.raises(InvalidValue, match=f"^{name}="):
        make(**fields)
