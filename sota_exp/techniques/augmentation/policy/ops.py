"""The image operations that augmentation policies draw from, batched: each sample has its own operation and magnitude.

Images are uint8 [B, 3, S, S] in channels-last strides. An operation runs once, on the samples that drew it, a few images at a
time so that its intermediates stay in a core's cache. Signs, centres and rounding are those of `torchvision.transforms.v2`, as
its TrivialAugment calls them.
"""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from sota_exp.data.resize import affine, in_chunks, slide, take
from sota_exp.stages.stage import require

#: Weights of red, green and blue in a gray level, as torchvision has them.
LUMA = (0.2989, 0.587, 0.114)

# --------------------------------------------------- geometric: images, magnitudes [B] and interpolation → uint8 images


def shear_x(images: Tensor, slope: Tensor, interpolation: str) -> Tensor:
    """Rows slide by `slope` times their distance from the top edge."""
    rows = torch.arange(images.shape[-1], device=images.device) + 0.5
    return slide(images, -slope[:, None] * rows, interpolation)


def shear_y(images: Tensor, slope: Tensor, interpolation: str) -> Tensor:
    """Columns slide by `slope` times their distance from the left edge."""
    one, zero = torch.ones_like(slope), torch.zeros_like(slope)
    lift = slope * images.shape[-1] / 2
    return affine(images, torch.stack([one, zero, zero, slope, one, lift], dim=1).view(-1, 2, 3), interpolation)


def translate_x(images: Tensor, pixels: Tensor, interpolation: str) -> Tensor:
    """Moves right by whole pixels, the fraction cut off."""
    return slide(images, pixels.trunc()[:, None].expand(-1, images.shape[-1]), "nearest")


def translate_y(images: Tensor, pixels: Tensor, interpolation: str) -> Tensor:
    """Moves down by whole pixels, the fraction cut off."""
    num, _, size, _ = images.shape
    bordered = F.pad(images.permute(0, 2, 3, 1), (0, 0, 0, 0, size, size)).reshape(num * 3 * size, -1)
    first = torch.arange(num, device=images.device) * 3 * size + size - pixels.clamp(-size, size).trunc().long()
    rows = first[:, None] + torch.arange(size, device=images.device)
    return bordered.index_select(0, rows.flatten()).view(num, size, size, 3).permute(0, 3, 1, 2)


def rotate(images: Tensor, degrees: Tensor, interpolation: str) -> Tensor:
    """Turns counter-clockwise about the centre."""
    cos, sin, zero = degrees.deg2rad().cos(), degrees.deg2rad().sin(), torch.zeros_like(degrees)
    return affine(images, torch.stack([cos, -sin, zero, sin, cos, zero], dim=1).view(-1, 2, 3), interpolation)


# ------------------------------------------------------ photometric: images and magnitudes [B, 1, 1, 1] → uint8 images


def _pixels(images: Tensor) -> Tensor:
    """Float [B, S, S, 3], laid out as the images are: what treats all colours alike then runs along memory."""
    return images.permute(0, 2, 3, 1).float()


def _planes(images: Tensor) -> Tensor:
    """Float [B, 3, S, S], one colour after the other: sums over channels then run along memory."""
    return images.to(torch.float32, memory_format=torch.contiguous_format)


def _to_levels(values: Tensor) -> Tensor:
    """Whole levels of floats, cut to 0…255: int16, since float to uint8 takes three times as long in one step as in two."""
    return values.clamp_(0, 255).to(torch.int16)


def _to_images(pixels: Tensor) -> Tensor:
    """Uint8 [B, 3, S, S] in channels-last strides, from float [B, S, S, 3]."""
    return _to_levels(pixels).to(torch.uint8).permute(0, 3, 1, 2)


def identity(images: Tensor, magnitude: Tensor) -> Tensor:
    """The images themselves."""
    return images


def brightness(images: Tensor, magnitude: Tensor) -> Tensor:
    """Scales every level by 1 + magnitude."""
    return _to_images(_pixels(images).mul_(1 + magnitude))


def color(images: Tensor, magnitude: Tensor) -> Tensor:
    """Moves away from the gray image for a positive magnitude, towards it for a negative one."""
    planes = _planes(images)
    red, green, blue = planes.split(1, dim=1)
    gray = (red * LUMA[0]).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2]).floor_()
    levels = _to_levels((planes * (1 + magnitude)).sub_(gray * magnitude))
    # int16 is laid out anew in half of uint8's time.
    return levels.contiguous(memory_format=torch.channels_last).to(torch.uint8)


def contrast(images: Tensor, magnitude: Tensor) -> Tensor:
    """Moves away from the mean gray level for a positive magnitude, towards it for a negative one."""
    pixels = _pixels(images)
    gray = (pixels.view(-1, 3) @ _luma(images.device)).floor_()
    mean = gray.view(len(images), -1).mean(dim=1).view(-1, 1, 1, 1)
    return _to_images(pixels.mul_(1 + magnitude).sub_(mean * magnitude))


@cache
def _luma(device: torch.device) -> Tensor:
    return torch.tensor(LUMA, device=device)


def sharpness(images: Tensor, magnitude: Tensor) -> Tensor:
    """Moves away from the image smoothed by a 3 x 3 kernel (5 in the middle, 1 around); the border stays."""
    num, _, size, _ = images.shape
    # Neighbours in a row are three values apart.
    sharp = images.permute(0, 2, 3, 1).reshape(num, size, 3 * size).to(torch.int16)
    inner = sharp[:, 1:-1, 3:-3]
    rows = (sharp[:, :-2] + sharp[:, 1:-1]).add_(sharp[:, 2:])
    nine = (rows[..., :-6] + rows[..., 3:-3]).add_(rows[..., 6:])
    smooth, before = nine.add_(inner, alpha=4).float().div_(13).round_(), inner.float()
    inner.copy_(_to_levels(before.sub_(smooth.sub_(before).mul_(magnitude[..., 0]))))
    return sharp.to(torch.uint8).view(num, size, size, 3).permute(0, 3, 1, 2)


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Keeps the highest `bits` bits of every level."""
    return images & (256 - torch.exp2(8 - bits)).to(torch.uint8)


def solarize(images: Tensor, threshold: Tensor) -> Tensor:
    """Inverts the levels at or above `threshold`."""
    inverted = images.to(torch.int16) >= threshold.ceil().to(torch.int16)
    return images ^ inverted.to(torch.uint8).mul_(255)  # `where` takes seven times as long


def invert(images: Tensor, magnitude: Tensor) -> Tensor:
    """255 minus every level."""
    return ~images


def autocontrast(images: Tensor, magnitude: Tensor) -> Tensor:
    """Stretches each channel to 0…255; a channel of one level stays."""
    num, _, size, _ = images.shape
    lines = images.permute(0, 2, 3, 1).reshape(num, size, 3 * size)
    lowest = lines.amin(1).view(num, size, 3).amin(1, keepdim=True).float()
    highest = lines.amax(1).view(num, size, 3).amax(1, keepdim=True).float()
    scale, flat = (highest - lowest) * (1 / 255), highest == lowest
    # A line of constants, so that all colours of a line are treated at once.
    shift, scale = (
        each.expand(-1, size, -1).reshape(num, 1, -1)
        for each in (lowest.masked_fill(flat, 0), scale.masked_fill(flat, 1))
    )
    return _to_images(lines.float().sub_(shift).div_(scale).view(num, size, size, 3))


def equalize(images: Tensor, magnitude: Tensor) -> Tensor:
    """Flattens each channel's histogram, as Pillow does; a channel of one level stays."""
    num, _, height, width = images.shape
    places = _places(images)
    ones = torch.ones(1, dtype=torch.int32, device=images.device).repeat(len(places))
    histogram = torch.zeros(num * 3 * 256, dtype=torch.int32, device=images.device)
    histogram = histogram.scatter_add_(0, places.long(), ones).view(-1, 3, 256)
    levels = torch.arange(256, device=images.device)
    brightest = torch.where(histogram > 0, levels, 0).amax(2, keepdim=True)
    below = histogram.cumsum(2) - histogram
    step = (height * width - histogram.gather(2, brightest)) // 255
    table = ((below + step // 2) // step.clamp(min=1)).clamp_(max=255)
    table = torch.where(step > 0, table, levels).to(torch.uint8)
    return table.flatten().index_select(0, places).view(num, height, width, 3).permute(0, 3, 1, 2)


@cache
def _first_places(num_pixels: int, device: torch.device) -> Tensor:
    """Where the tables of the three channels begin, for every value of an image: int32 [num_pixels · 3]."""
    return (torch.arange(3, dtype=torch.int32, device=device) * 256).repeat(num_pixels)


def _places(images: Tensor) -> Tensor:
    """Position of every level in tables [B, 3, 256] laid flat: int32 [B · S · S · 3], in channels-last order."""
    levels = images.permute(0, 2, 3, 1).reshape(len(images), -1)
    tables = torch.arange(len(images), dtype=torch.int32, device=images.device) * (3 * 256)
    return (levels + _first_places(levels.shape[1] // 3, images.device)).add_(tables[:, None]).flatten()


# ---------------------------------------------------------------------------------------------------------- application

Op = Callable[[Tensor, Tensor, str], Tensor]


def _photometric(op: Callable[[Tensor, Tensor], Tensor]) -> Op:
    return lambda images, magnitude, interpolation: op(images, magnitude.view(-1, 1, 1, 1))


GEOMETRIC: dict[str, Op] = {op.__name__: op for op in (shear_x, shear_y, translate_x, translate_y, rotate)}
PHOTOMETRIC: dict[str, Op] = {
    "identity": _photometric(identity),
    "brightness": _photometric(brightness),
    "color": _photometric(color),
    "contrast": _photometric(contrast),
    "sharpness": _photometric(sharpness),
    "posterize": _photometric(posterize),
    "solarize": _photometric(solarize),
    "autocontrast": _photometric(autocontrast),
    "equalize": _photometric(equalize),
    "invert": _photometric(invert),
}
OPS = {**GEOMETRIC, **PHOTOMETRIC}
NAMES = tuple(OPS)
INTERPOLATIONS = ("bilinear", "nearest")


def require_interpolation(value: str) -> None:
    """Raise `InvalidValue` for what `apply` can't use."""
    require(value in INTERPOLATIONS, "interpolation", value, f"one of {INTERPOLATIONS}")


def apply(images: Tensor, ops: Tensor, magnitudes: Tensor, interpolation: str) -> Tensor:
    """Each image after its own operation: uint8 [B, 3, S, S] in channels-last strides.

    ops: int64 [B] on the CPU, positions in `NAMES`. magnitudes: float [B] on the CPU.
    Samples are sorted by operation, treated in runs and put back, so nothing waits for the device.
    """
    order = ops.argsort(stable=True)
    counts = ops.bincount(minlength=len(OPS)).tolist()
    sorted_images = take(images, order)
    strengths = magnitudes[order].to(images.device, non_blocking=True)
    runs = zip(OPS.values(), sorted_images.split(counts), strengths.split(counts), strict=True)
    for op, run, strength in runs:
        for part, own in zip(in_chunks(run), in_chunks(strength, run), strict=True):
            if len(part):
                part.copy_(op(part, own, interpolation))
    return take(sorted_images, order.argsort())
