import itertools
import math

import pytest
import torch
from torchvision.transforms.v2 import TrivialAugmentWide
from torchvision.transforms.v2 import functional as F

from sota_exp.techniques.augmentation.policy import ops
from tests.rows import each_row

REFERENCE_NAMES = {
    "shear_x": "ShearX",
    "shear_y": "ShearY",
    "translate_x": "TranslateX",
    "translate_y": "TranslateY",
    "rotate": "Rotate",
    "identity": "Identity",
    "brightness": "Brightness",
    "color": "Color",
    "contrast": "Contrast",
    "sharpness": "Sharpness",
    "posterize": "Posterize",
    "autocontrast": "AutoContrast",
    "equalize": "Equalize",
    "invert": "Invert",
}
SIGNED = [-0.99, -0.5, -0.033, 0.0, 0.033, 0.4, 0.99]
MAGNITUDES = {
    "shear_x": SIGNED,
    "shear_y": SIGNED,
    "translate_x": [-20.7, -3.0, -0.9, 0.0, 0.9, 2.5, 7.0],
    "translate_y": [-20.7, -3.0, -0.9, 0.0, 0.9, 2.5, 7.0],
    "rotate": [-135.0, -90.0, -4.5, 0.0, 31.5, 90.0, 135.0],
    "brightness": SIGNED,
    "color": SIGNED,
    "contrast": SIGNED,
    "sharpness": SIGNED,
    "posterize": [8.0, 7.0, 5.0, 4.0, 2.0, 1.0, 0.0],
}
EXACT = ("identity", "posterize", "autocontrast", "equalize", "invert")
BLENDED = ("brightness", "color", "contrast", "sharpness")


def pictures(num, size, seed=0):
    """Smooth, noisy and constant images in turns, in channels-last strides."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randint(256, (num, 3, size, size), dtype=torch.uint8, generator=generator)
    coarse = torch.rand(num, 3, 4, 4, generator=generator) * 180 + 20
    smooth = torch.nn.functional.interpolate(coarse, (size, size), mode="bicubic").clamp(0, 255).byte()
    kind = torch.arange(num).view(-1, 1, 1, 1) % 4
    images = torch.where(kind == 1, noise, torch.where(kind == 3, noise[:, :, :1, :1], smooth))
    return images.contiguous(memory_format=torch.channels_last)


def reference(image, name, magnitude, interpolation):
    """One image after an operation of torchvision's TrivialAugment."""
    policy = TrivialAugmentWide(interpolation=interpolation)
    return policy._apply_image_or_video_transform(
        image, REFERENCE_NAMES[name], magnitude, interpolation=policy.interpolation, fill=policy._fill
    )


def apply_one(images, name, magnitudes, interpolation="bilinear"):
    return ops.apply_ops(images, torch.full((len(images),), ops.OP_NAMES.index(name)), magnitudes, interpolation)


def differences(name, size, interpolation="bilinear"):
    """Our result minus torchvision's, int [B, 3, S, S], for all magnitudes of `name` and four kinds of images."""
    magnitudes = torch.tensor(MAGNITUDES.get(name, [0.0] * 7)).repeat(4)
    images = pictures(28, size)
    expected = [
        reference(image.contiguous(), name, magnitude, interpolation)
        for image, magnitude in zip(images, magnitudes.tolist(), strict=True)
    ]
    return apply_one(images, name, magnitudes, interpolation).int() - torch.stack(expected).int()


@each_row("size, name", itertools.product([8, 33, 64], EXACT))
def test_integer_operations_equal_torchvisions(name, size):
    assert differences(name, size).abs().max() == 0


@each_row("size, name", itertools.product([8, 33, 64], BLENDED))
def test_blended_operations_agree_with_torchvision_within_a_level(name, size):
    assert differences(name, size).abs().max() <= 1


@each_row("size, name", itertools.product([8, 33, 64], list(ops.GEOMETRIC)))
def test_bilinear_geometry_agrees_with_torchvision_within_a_level(name, size):
    assert differences(name, size).abs().max() <= 1


@each_row("size, name", itertools.product([8, 33, 64], list(ops.GEOMETRIC)))
def test_nearest_geometry_differs_from_torchvision_only_at_ties(name, size):
    # A source position half-way between two pixels may be rounded either way.
    assert (differences(name, size, "nearest") != 0).float().mean() < 0.01


@pytest.mark.parametrize("threshold", [0, 1, 100, 153, 255])
def test_solarize_equals_torchvisions(threshold):
    images = pictures(8, 16)
    ours = apply_one(images, "solarize", torch.full((8,), float(threshold)))
    assert torch.equal(ours, F.solarize(images, threshold))


@pytest.mark.parametrize("add", [0, 33, 128])
def test_solarize_add_brightens_dark_levels_alone(add):
    images = pictures(8, 16)
    expected = torch.where(images < 128, images.int() + add, images.int())
    assert torch.equal(apply_one(images, "solarize_add", torch.full((8,), float(add))).int(), expected)


def test_a_magnitude_belongs_to_its_sample():
    images = pictures(4, 16)
    ours = apply_one(images, "brightness", torch.tensor([-0.5, 0.0, 0.5, -1.0]))
    assert torch.equal(ours[1], images[1]) and ours[3].max() == 0
    assert (ours[0] <= images[0]).all() and (ours[2] >= images[2]).all()


@pytest.mark.parametrize("name", [*ops.GEOMETRIC, *BLENDED])
def test_no_magnitude_changes_nothing(name):
    images = pictures(8, 24)
    assert torch.equal(apply_one(images, name, torch.zeros(8)), images)


def test_inverting_twice_and_equal_operations_again_change_nothing():
    images, zeros = pictures(8, 24), torch.zeros(8)
    assert torch.equal(apply_one(apply_one(images, "invert", zeros), "invert", zeros), images)
    for name, magnitude in [("posterize", 3.0), ("autocontrast", 0.0)]:
        once = apply_one(images, name, torch.full((8,), magnitude))
        assert torch.equal(apply_one(once, name, torch.full((8,), magnitude)), once)


def test_translation_moves_whole_pixels_and_leaves_black():
    images = pictures(4, 16)
    moved = apply_one(images, "translate_x", torch.full((4,), 3.9))
    assert torch.equal(moved[..., 3:], images[..., :-3]) and moved[..., :3].max() == 0


def test_a_quarter_turn_is_exact():
    images = pictures(4, 16)
    assert torch.equal(apply_one(images, "rotate", torch.full((4,), 90.0)), images.rot90(dims=(-2, -1)))


def mixed_draws(num):
    generator = torch.Generator().manual_seed(2)
    drawn = torch.randint(len(ops.OP_NAMES), (num,), generator=generator)
    magnitudes = torch.rand(num, generator=generator)
    whole = (drawn == ops.OP_NAMES.index("posterize")) | (drawn == ops.OP_NAMES.index("solarize"))
    return drawn, torch.where(whole, torch.full((num,), 4.0), magnitudes)


@pytest.mark.parametrize("interpolation", ops.OP_INTERPOLATIONS)
@pytest.mark.parametrize("num, size", [(1, 8), (2, 16), (64, 24)])
def test_operations_of_a_mixed_batch_equal_those_of_single_samples(num, size, interpolation):
    images, (drawn, magnitudes) = pictures(num, size), mixed_draws(num)
    together = ops.apply_ops(images, drawn, magnitudes, interpolation)
    alone = [
        ops.apply_ops(images[i : i + 1], drawn[i : i + 1], magnitudes[i : i + 1], interpolation) for i in range(num)
    ]
    assert torch.equal(together, torch.cat(alone))


@pytest.mark.parametrize("num, size", [(1, 8), (5, 8), (15, 224)])
def test_type_strides_and_input_are_kept(num, size):
    images = pictures(num, size)
    before = images.clone()
    drawn = torch.arange(num) % len(ops.OP_NAMES)
    ours = ops.apply_ops(images, drawn, torch.ones(num), "bilinear")
    assert ours.dtype == torch.uint8 and ours.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(images, before)
    assert torch.equal(ops.apply_ops(images.contiguous(), drawn, torch.ones(num), "bilinear"), ours)


def test_shear_slides_by_the_distance_from_the_edge():
    row_of_dots = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    row_of_dots[..., 20] = 255
    sheared = apply_one(row_of_dots, "shear_x", torch.tensor([0.5]), "nearest")
    columns = sheared[0, 0].int().argmax(1)
    assert columns[0].item() == 20 and math.isclose(columns[30].item(), 20 - 15, abs_tol=1)
