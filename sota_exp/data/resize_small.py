"""Crops of small images that are all of one size, a batch at a time: the bits of PyTorch's kernel in a third of its time.

For each image that kernel sums integers: weights of 15 bits times levels, first along the rows, then, of what is rounded to
levels again, along the columns. Here both are matrix products in float32, whose sums of such integers are exact as well. The
weights depend on the length of a crop alone and come from a table.
"""

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

#: Pixels of the longest side up to which this is the faster way.
MOST = 48

#: Most source pixels to one: with more, weights have so many bits that float32 would round their sums.
SHRINKING = 4


def are_small(shape: tuple[int, int] | None, size: int) -> bool:
    """Whether crops of images that all have this (height, width) can be resized to `size` here."""
    return shape is not None and max(shape) <= min(MOST, SHRINKING * size)


def resized_boxes(images: Tensor, boxes: Tensor, size: int) -> Tensor:
    """The boxes of uint8 images [B, H, W, 3], bilinear, antialiased: uint8 [B, 3, size, size], channels last.

    boxes: int64 [B, 4], each (top, left, height, width) in pixels and inside its image.
    """
    num, height, width, _ = images.shape
    top, left, rows, columns = boxes.unbind(1)
    with torch.autocast("cpu", enabled=False):  # bfloat16 would not hold the sums
        across = images.transpose(1, 2).to(torch.float32, memory_format=torch.contiguous_format)
        levels = torch.bmm(_matrices(width, size, left, columns), across.view(num, width, -1)).add_(0.5)
        down = levels.view(num, size, height, 3).transpose(1, 2).floor().contiguous()
        levels = torch.bmm(_matrices(height, size, top, rows), down.view(num, height, -1)).add_(0.5)
    # To int16 they are cut off, as floor does with levels; straight to uint8 takes three times as long.
    return levels.to(torch.int16).to(torch.uint8).view(num, size, size, 3).permute(0, 3, 1, 2)


def _matrices(side: int, size: int, first: Tensor, length: Tensor) -> Tensor:
    """What resizes the `length` [B] pixels from `first` [B] on of a line of `side`: float32 [B, size, side]."""
    lines = (length * size)[:, None] + torch.arange(size)
    places = lines * (2 * side) + (side - first)[:, None]
    return _table(side, size).index_select(0, places.flatten()).view(-1, size, side)


@lru_cache(maxsize=32)
def _table(side: int, size: int) -> Tensor:
    """Every run of `side` values in the weights of all lengths, which lie one after the other, zeros around them."""
    bordered = np.zeros((side + 1, size, 2 * side), np.float32)
    for length in range(1, side + 1):
        bordered[length, :, side : side + length] = weights(length, size)
    flat = torch.from_numpy(bordered).flatten()
    return flat.as_strided((len(flat) - side + 1, side), (1, 1))


def weights(length: int, size: int) -> np.ndarray:
    """Shares of `length` pixels in each of `size`, [size, length]: the triangle filter in the kernel's fixed point."""
    scale = length / size
    reach = max(scale, 1.0)
    centre = scale * (np.arange(size) + 0.5)
    first = np.maximum((centre - reach + 0.5).astype(int), 0)
    num = np.minimum((centre + reach + 0.5).astype(int), length) - first
    taps = np.arange(2 * math.ceil(reach) + 1)
    shares = np.maximum(0, 1 - np.abs(taps + (first - centre)[:, None] + 0.5) * (1 / reach))
    shares[taps >= num[:, None]] = 0
    shares /= shares.cumsum(1)[:, -1:]
    # As many bits as keep the largest share in an int16.
    bits = next(bits for bits in range(23) if int(0.5 + shares.max() * 2 ** (bits + 1)) >= 2**15)
    placed = np.zeros((size, length + len(taps)))
    np.put_along_axis(placed, first[:, None] + taps, np.floor(shares * 2**bits + 0.5) / 2**bits, 1)
    return placed[:, :length]
