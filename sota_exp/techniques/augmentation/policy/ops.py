"""The image operations that augmentation policies draw from, batched: each sample has its own operation and magnitude.

Images are uint8 [B, 3, S, S] in channels-last strides. Geometric operations take images, magnitudes [B] and the
interpolation; photometric ones take images and magnitudes [B, 1, 1, 1]. An operation runs once, on the samples that
drew it, a few images at a time so that intermediate results stay in the CPU cache. Signs, centres and rounding are
those of TrivialAugment in `torchvision.transforms.v2`.
"""

from collections.abc import Callable
from functools import cache
from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional as F

from sota_exp.data.resize import apply_affine, select_images, shift_rows, split_into_chunks
from sota_exp.stages.stage import one_of

#: Weights of red, green and blue in a gray level, as in torchvision.
LUMA = (0.2989, 0.587, 0.114)


def shear_x(images: Tensor, slope: Tensor, interpolation: str) -> Tensor:
    """Images [B, 3, S, S] → the same with each row shifted by `slope` [B] times its distance from the top edge."""
    rows = torch.arange(images.shape[-1], device=images.device) + 0.5
    return shift_rows(images, -slope[:, None] * rows, interpolation)


def shear_y(images: Tensor, slope: Tensor, interpolation: str) -> Tensor:
    """Images [B, 3, S, S] → the same with each column shifted by `slope` [B] times its distance from the left edge."""
    one, zero = torch.ones_like(slope), torch.zeros_like(slope)
    offset = slope * images.shape[-1] / 2
    return apply_affine(images, torch.stack([one, zero, zero, slope, one, offset], dim=1).view(-1, 2, 3), interpolation)


def translate_x(images: Tensor, pixels: Tensor, interpolation: str) -> Tensor:
    """Images [B, 3, S, S] → the same shifted right by `pixels` [B], truncated to integers."""
    return shift_rows(images, pixels.trunc()[:, None].expand(-1, images.shape[-1]), "nearest")


def translate_y(images: Tensor, pixels: Tensor, interpolation: str) -> Tensor:
    """Images [B, 3, S, S] → the same shifted down by `pixels` [B], truncated to integers."""
    num, _, size, _ = images.shape
    padded = F.pad(images.permute(0, 2, 3, 1), (0, 0, 0, 0, size, size)).reshape(num * 3 * size, -1)
    first = torch.arange(num, device=images.device) * 3 * size + size - pixels.clamp(-size, size).trunc().long()
    rows = first[:, None] + torch.arange(size, device=images.device)
    return padded.index_select(0, rows.flatten()).view(num, size, size, 3).permute(0, 3, 1, 2)


def rotate(images: Tensor, degrees: Tensor, interpolation: str) -> Tensor:
    """Images [B, 3, S, S] → the same rotated by `degrees` [B], counter-clockwise around the centre."""
    cos, sin, zero = degrees.deg2rad().cos(), degrees.deg2rad().sin(), torch.zeros_like(degrees)
    return apply_affine(images, torch.stack([cos, -sin, zero, sin, cos, zero], dim=1).view(-1, 2, 3), interpolation)


def _pixels(images: Tensor) -> Tensor:
    """Float [B, S, S, 3] in the memory order of the images, for operations that treat all channels alike."""
    return images.permute(0, 2, 3, 1).float()


def _planes(images: Tensor) -> Tensor:
    """Float [B, 3, S, S], contiguous per channel, for sums over channels."""
    return images.to(torch.float32, memory_format=torch.contiguous_format)


def _to_levels(values: Tensor) -> Tensor:
    """Floats, clamped to [0, 255] and truncated to int16: via int16, float to uint8 takes a third of the time."""
    return values.clamp_(0, 255).to(torch.int16)


def _to_images(pixels: Tensor) -> Tensor:
    """Uint8 [B, 3, S, S] in channels-last strides, from float [B, S, S, 3]."""
    return _to_levels(pixels).to(torch.uint8).permute(0, 3, 1, 2)


def identity(images: Tensor, magnitude: Tensor) -> Tensor:
    """Returns the images [B, 3, S, S] unchanged."""
    return images


def brightness(images: Tensor, magnitude: Tensor) -> Tensor:
    """Scales every level of images [B, 3, S, S] by 1 + magnitude [B, 1, 1, 1]."""
    return _to_images(_pixels(images).mul_(1 + magnitude))


def color(images: Tensor, magnitude: Tensor) -> Tensor:
    """Images [B, 3, S, S] + magnitude [B, 1, 1, 1] · (images − their gray images)."""
    planes = _planes(images)
    red, green, blue = planes.split(1, dim=1)
    gray = (red * LUMA[0]).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2]).floor_()
    levels = _to_levels((planes * (1 + magnitude)).sub_(gray * magnitude))
    # Changing the memory format of int16 takes half the time of uint8.
    return levels.contiguous(memory_format=torch.channels_last).to(torch.uint8)


def contrast(images: Tensor, magnitude: Tensor) -> Tensor:
    """Images [B, 3, S, S] + magnitude [B, 1, 1, 1] · (images − their mean gray levels)."""
    pixels = _pixels(images)
    gray = (pixels.view(-1, 3) @ _luma(images.device)).floor_()
    mean = gray.view(len(images), -1).mean(dim=1).view(-1, 1, 1, 1)
    return _to_images(pixels.mul_(1 + magnitude).sub_(mean * magnitude))


@cache
def _luma(device: torch.device) -> Tensor:
    return torch.tensor(LUMA, device=device)


def sharpness(images: Tensor, magnitude: Tensor) -> Tensor:
    """Images [B, 3, S, S] + magnitude [B, 1, 1, 1] · (images − images smoothed by a 3 × 3 kernel), except the border.

    The kernel is 5/13 in the centre and 1/13 around it.
    """
    num, _, size, _ = images.shape
    # In this layout neighbouring pixels of a row are three values apart.
    sharp = images.permute(0, 2, 3, 1).reshape(num, size, 3 * size).to(torch.int16)
    inner = sharp[:, 1:-1, 3:-3]
    rows = (sharp[:, :-2] + sharp[:, 1:-1]).add_(sharp[:, 2:])
    sum_of_nine = (rows[..., :-6] + rows[..., 3:-3]).add_(rows[..., 6:])
    smooth, before = sum_of_nine.add_(inner, alpha=4).float().div_(13).round_(), inner.float()
    inner.copy_(_to_levels(before.sub_(smooth.sub_(before).mul_(magnitude[..., 0]))))
    return sharp.to(torch.uint8).view(num, size, size, 3).permute(0, 3, 1, 2)


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Keeps the highest `bits` [B, 1, 1, 1] bits of every level of images [B, 3, S, S]."""
    return images & (256 - torch.exp2(8 - bits)).to(torch.uint8)


def solarize(images: Tensor, threshold: Tensor) -> Tensor:
    """Inverts the levels of images [B, 3, S, S] that are at least `threshold` [B, 1, 1, 1]."""
    inverted = images.to(torch.int16) >= threshold.ceil().to(torch.int16)
    return images ^ inverted.to(torch.uint8).mul_(255)  # `where` takes seven times as long


def solarize_add(images: Tensor, add: Tensor) -> Tensor:
    """Adds `add` [B, 1, 1, 1], at most 128, to the levels of images [B, 3, S, S] that are below 128."""
    return images + (images < 128).to(torch.uint8) * add.to(torch.uint8)


def invert(images: Tensor, magnitude: Tensor) -> Tensor:
    """Images [B, 3, S, S] → 255 minus every level."""
    return ~images


def autocontrast(images: Tensor, magnitude: Tensor) -> Tensor:
    """Stretches each channel of images [B, 3, S, S] to [0, 255]; a constant channel stays."""
    num, _, size, _ = images.shape
    lines = images.permute(0, 2, 3, 1).reshape(num, size, 3 * size)
    lowest = lines.amin(1).view(num, size, 3).amin(1, keepdim=True).float()
    highest = lines.amax(1).view(num, size, 3).amax(1, keepdim=True).float()
    scale, flat = (highest - lowest) * (1 / 255), highest == lowest
    # The constants are repeated to a whole row of pixels, so that all channels of a row are computed at once.
    shift, scale = (
        each.expand(-1, size, -1).reshape(num, 1, -1)
        for each in (lowest.masked_fill(flat, 0), scale.masked_fill(flat, 1))
    )
    return _to_images(lines.float().sub_(shift).div_(scale).view(num, size, size, 3))


def equalize(images: Tensor, magnitude: Tensor) -> Tensor:
    """Equalizes the histogram of each channel of images [B, 3, S, S], as Pillow does; a constant channel stays."""
    num, _, height, width = images.shape
    positions = _table_positions(images)
    ones = torch.ones(1, dtype=torch.int32, device=images.device).repeat(len(positions))
    histogram = torch.zeros(num * 3 * 256, dtype=torch.int32, device=images.device)
    histogram = histogram.scatter_add_(0, positions.long(), ones).view(-1, 3, 256)
    levels = torch.arange(256, device=images.device)
    brightest = torch.where(histogram > 0, levels, 0).amax(2, keepdim=True)
    below = histogram.cumsum(2) - histogram
    step = (height * width - histogram.gather(2, brightest)) // 255
    table = ((below + step // 2) // step.clamp(min=1)).clamp_(max=255)
    table = torch.where(step > 0, table, levels).to(torch.uint8)
    return table.flatten().index_select(0, positions).view(num, height, width, 3).permute(0, 3, 1, 2)


@cache
def _table_offsets(num_pixels: int, device: torch.device) -> Tensor:
    """Offset of the channel's table for every value of an image: int32 [num_pixels · 3]."""
    return (torch.arange(3, dtype=torch.int32, device=device) * 256).repeat(num_pixels)


def _table_positions(images: Tensor) -> Tensor:
    """Position of every level in flattened tables [B, 3, 256]: int32 [B · S · S · 3], in channels-last order."""
    levels = images.permute(0, 2, 3, 1).reshape(len(images), -1)
    tables = torch.arange(len(images), dtype=torch.int32, device=images.device) * (3 * 256)
    return (levels + _table_offsets(levels.shape[1] // 3, images.device)).add_(tables[:, None]).flatten()


Op = Callable[[Tensor, Tensor, str], Tensor]


def _photometric(op: Callable[[Tensor, Tensor], Tensor]) -> Op:
    return lambda images, magnitude, interpolation: op(images, magnitude.view(-1, 1, 1, 1))


GEOMETRIC: dict[str, Op] = {op.__name__: op for op in (shear_x, shear_y, translate_x, translate_y, rotate)}
PHOTOMETRIC: dict[str, Op] = {
    op.__name__: _photometric(op)
    for op in (
        *(identity, brightness, color, contrast, sharpness, posterize, solarize, autocontrast, equalize, invert),
        solarize_add,
    )
}
OPS = {**GEOMETRIC, **PHOTOMETRIC}
OP_NAMES = tuple(OPS)
OP_INTERPOLATIONS = ("bilinear", "nearest")
Interpolation = Annotated[str, one_of(*OP_INTERPOLATIONS)]


def apply_ops(images: Tensor, ops: Tensor, magnitudes: Tensor, interpolation: str) -> Tensor:
    """Apply its own operation to each image: uint8 [B, 3, S, S] in channels-last strides.

    ops: int64 [B] on the CPU, positions in `OP_NAMES`. magnitudes: float [B] on the CPU.
    Samples are sorted by operation, processed in groups and put back in order, without waiting for the device.
    """
    order = ops.argsort(stable=True)
    counts = ops.bincount(minlength=len(OPS)).tolist()
    sorted_images = select_images(images, order)
    strengths = magnitudes[order].to(images.device, non_blocking=True)
    groups = zip(OPS.values(), sorted_images.split(counts), strengths.split(counts), strict=True)
    for op, group, strength in groups:
        for chunk, magnitude in zip(split_into_chunks(group), split_into_chunks(strength, group), strict=True):
            if len(chunk):
                chunk.copy_(op(chunk, magnitude, interpolation))
    return select_images(sorted_images, order.argsort())
