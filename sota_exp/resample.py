"""Cutting and resizing images of any size into one uint8 batch, antialiased.

Crops go through PyTorch's own uint8 kernel, the one behind torchvision's `resize`: it averages, in integers, over the
source pixels that an output pixel covers. It is fastest on channels-last input, so crops are laid out that way first.
"""

from collections import defaultdict

import torch
from torch import Tensor
from torch.nn import functional as F

from sota_exp.stages import Images, require


def interpolate(batch: Tensor, height: int, width: int) -> Tensor:
    """Uint8 [B, 3, H, W], channels last, → [B, 3, height, width], bilinear and antialiased; same size, same tensor."""
    if batch.shape[-2:] == (height, width):
        return batch
    return F.interpolate(batch, size=(height, width), mode="bilinear", antialias=True)


def shorter_side(height: int, width: int, side: int) -> tuple[int, int]:
    """Height and width after the shorter of them became `side`, the longer one rounded down as torchvision does."""
    if height <= width:
        return side, int(side * width / height)
    return int(side * height / width), side


def center_crop(images: Images, indices: Tensor, resize: int, size: int) -> Tensor:
    """Resize the shorter side to `resize`, then cut the centre: uint8 [B, 3, size, size], channels last.

    Raises `InvalidValue` where the cut is larger than what it is cut from (torchvision would pad it with black).
    """
    require(0 < size <= resize, "size", size, f"pixels, at most the {resize} that the shorter side is resized to")
    picked = indices.tolist()
    rows_by_shape: dict[tuple[int, int], list[int]] = defaultdict(list)
    for row, index in enumerate(picked):
        rows_by_shape[images.size(index)].append(row)
    crops = []
    # Images of one shape go through the kernel together and share its filter weights: 64 to 48 px takes 12 µs an image
    # on one core.
    for shape, rows in rows_by_shape.items():
        height, width = shorter_side(*shape, resize)
        same = torch.stack([images.image(picked[row]).permute(1, 2, 0) for row in rows]).permute(0, 3, 1, 2)
        top, left = round((height - size) / 2), round((width - size) / 2)
        cut = interpolate(same, height, width)[:, :, top : top + size, left : left + size]
        crops.append(cut.permute(0, 2, 3, 1))
    position = torch.tensor([row for rows in rows_by_shape.values() for row in rows]).argsort()
    return torch.cat(crops).index_select(0, position).permute(0, 3, 1, 2)


def resized_crop(images: Images, indices: Tensor, boxes: Tensor, size: int) -> Tensor:
    """Cut a box out of each image and resize it to a square: uint8 [B, 3, size, size], channels last.

    boxes: int64 [B, 4], each (top, left, height, width) in pixels and inside its image.
    """
    crops = []
    # 64 to 48 px takes 26 µs an image on one core, 13 µs of them in the kernel.
    for index, (top, left, height, width) in zip(indices.tolist(), boxes.tolist(), strict=True):
        # A plain view of one image has ambiguous strides, which cost the kernel a repacking; a clone has not.
        box = images.image(index)[None, :, top : top + height, left : left + width]
        crops.append(interpolate(box.clone(memory_format=torch.channels_last), size, size))
    return torch.cat(crops)


def affine(images: Tensor, matrices: Tensor, mode: str) -> Tensor:
    """Resample square images so that output pixel (x, y, 1) shows source pixel `matrix @ (x, y, 1)`; black outside.

    images: uint8 [B, 3, S, S]; the result is uint8 in channels-last strides.
    matrices: float [B, 2, 3] in pixels measured from the image centre, x to the right and y down.
    mode: `bilinear` or `nearest`.
    """
    half = images.shape[-1] / 2
    matrices = (matrices / torch.tensor([1.0, 1.0, half])).to(images.device, non_blocking=True)
    grid = F.affine_grid(matrices, list(images.shape), align_corners=False)
    sampled = F.grid_sample(images.float(), grid, mode=mode, padding_mode="zeros", align_corners=False)
    return sampled.round_().to(torch.uint8, memory_format=torch.channels_last)
