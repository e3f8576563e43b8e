"""Crops and resizes images of any size into one uint8 batch, with antialiasing.

Crops use PyTorch's uint8 kernel, as torchvision's `resize` does: a weighted integer average of the source pixels that
an output pixel covers. It is fastest on channels-last input, so crops get that layout first.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from sota_exp.data import resize_small
from sota_exp.data.streaming import StreamedImages
from sota_exp.stages.data import Images, view_box


def interpolate(batch: Tensor, height: int, width: int, mode: str = "bilinear") -> Tensor:
    """Uint8 [B, 3, H, W], channels last, → [B, 3, height, width], antialiased; the same tensor for the same size.

    mode: `bilinear` or `bicubic`.
    """
    if batch.shape[-2:] == (height, width):
        return batch
    return F.interpolate(batch, size=(height, width), mode=mode, antialias=True)


def compute_resized_shape(height: int, width: int, side: int) -> tuple[int, int]:
    """Height and width after resizing the shorter side to `side`; the longer is rounded down, as in torchvision."""
    if height <= width:
        return side, int(side * width / height)
    return int(side * height / width), side


def center_crop(images: Images, indices: Tensor, resize: int, size: int, mode: str = "bilinear") -> Tensor:
    """Resize the shorter side to `resize`, then crop the centre: uint8 [B, 3, size, size], channels last.

    indices: int64 [B]. resize, size: pixels, size ≤ resize. mode: `bilinear` or `bicubic`.
    """
    if isinstance(images, StreamedImages):
        return torch.cat(map_tensors_in_threads(partial(_decoded_center, images, resize, size, mode), indices.tolist()))
    rows_by_shape: dict[tuple[int, int], list[int]] = defaultdict(list)
    for row, index in enumerate(indices.tolist()):
        rows_by_shape[images.size(index)].append(row)
    # Images of one shape are one call of the kernel and share its filter weights: 64 to 48 px takes 12 µs per image on
    # one core.
    crops = [_center(images.stack(indices[rows]), shape, resize, size, mode) for shape, rows in rows_by_shape.items()]
    position = torch.tensor([row for rows in rows_by_shape.values() for row in rows]).argsort()
    return torch.cat([crop.permute(0, 2, 3, 1) for crop in crops]).index_select(0, position).permute(0, 3, 1, 2)


def _center(batch: Tensor, shape: tuple[int, int], resize: int, size: int, mode: str) -> Tensor:
    """The centres of images [B, H, W, 3], reduced or not from images of `shape`: a view [B, 3, size, size]."""
    height, width = compute_resized_shape(*shape, resize)
    top, left = round((height - size) / 2), round((width - size) / 2)
    return interpolate(batch.permute(0, 3, 1, 2), height, width, mode)[:, :, top : top + size, left : left + size]


def _decoded_center(images: StreamedImages, resize: int, size: int, mode: str, index: int) -> Tensor:
    """The centre of one image that must be decoded, [1, 3, size, size]: a copy, so that the image's memory is freed."""
    shape = images.size(index)
    image = images.read_reduced(index, min(shape) / resize)
    centre = _center(image.permute(1, 2, 0)[None].contiguous(), shape, resize, size, mode)
    return centre.clone(memory_format=torch.channels_last)


def map_tensors_in_threads(make: Callable[..., Tensor], *arguments: Iterable[object]) -> list[Tensor]:
    """`make` of every argument → its tensors [...], in as many threads as PyTorch uses (one in a worker of a loader).

    Threads help because decoding releases the GIL.
    """
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        return list(pool.map(make, *arguments))


def cut_boxes(images: Images, indices: Tensor, boxes: Tensor, size: int) -> list[Tensor]:
    """The pixels of each box, uint8 [1, 3, h, w]; decoded at a reduced size where possible, with rounded edges.

    indices: int64 [B]. boxes: int64 [B, 4], each (top, left, height, width) in pixels of the full size. size: the side
    that the boxes are to be resized to.
    """
    if isinstance(images, StreamedImages):
        return map_tensors_in_threads(partial(_decoded_box, images, size), indices.tolist(), boxes.tolist())
    return images.cut_boxes(indices, boxes)


def _decoded_box(images: StreamedImages, size: int, index: int, box: list[int]) -> Tensor:
    """A box (top, left, height, width) of one image that must be decoded: a copy, which frees the image's memory."""
    (height, width), (top, left, h, w) = images.size(index), box
    image = images.read_reduced(index, min(h, w) / size)
    down, across = image.shape[1] / height, image.shape[2] / width
    first_row, first_column = int(top * down), int(left * across)
    # A rounded box may extend one pixel over the edge.
    rows = min(max(1, round(h * down)), image.shape[1] - first_row)
    columns = min(max(1, round(w * across)), image.shape[2] - first_column)
    return view_box(image, first_row, first_column, rows, columns).clone(memory_format=torch.channels_last)


def resized_crop(images: Images, indices: Tensor, boxes: Tensor, size: int, mode: str = "bilinear") -> Tensor:
    """Crop a box of each image and resize it to a square: uint8 [B, 3, size, size], channels last.

    indices: int64 [B]. boxes: int64 [B, 4], each (top, left, height, width) in pixels and inside its image. mode:
    `bilinear` or `bicubic`.
    """
    if mode == "bilinear" and resize_small.can_resize(images.shape, size):
        return resize_small.resize_boxes(images.stack(indices), boxes, size)
    return torch.cat([interpolate(box, size, size, mode) for box in cut_boxes(images, indices, boxes, size)])


def draw_box_sides(areas: Tensor | int, scale: list[float], ratio: list[float], tries: Tensor) -> Tensor:
    """Heights and widths, int64 [B, T, 2], of boxes with a random share of `areas` [B, 1] and a random width / height.

    scale, ratio: (lowest, highest) share and width / height. tries: float64 [B, T, 2], uniform in [0, 1): they choose
    the share uniformly and the ratio log-uniformly.
    """
    area = areas * (scale[0] + (scale[1] - scale[0]) * tries[..., 0])
    shape = (math.log(ratio[0]) + math.log(ratio[1] / ratio[0]) * tries[..., 1]).exp()
    return torch.stack([area / shape, area * shape], dim=2).sqrt().round().long()


def choose_first_fitting(sides: Tensor, fits: Tensor) -> tuple[Tensor, Tensor]:
    """The first of the T boxes, sides [B, T, 2], that fits (bool [B, T]): [B, 2], and whether any does, bool [B, 1]."""
    return sides[torch.arange(len(sides)), fits.to(torch.uint8).argmax(1)], fits.any(1, keepdim=True)


def apply_affine(images: Tensor, matrices: Tensor, mode: str) -> Tensor:
    """Resample square images so that output pixel (x, y, 1) shows source pixel `matrix @ (x, y, 1)`; black outside.

    images: uint8 [B, 3, S, S]; the result is uint8 in channels-last strides.
    matrices: float [B, 2, 3] in pixels measured from the image centre, x to the right and y down.
    mode: `bilinear` or `nearest`.
    """
    matrices = matrices.to(images.device, non_blocking=True)
    output = empty_channels_last(images, torch.uint8)
    for chunk, own, target in zip(
        split_into_chunks(images), split_into_chunks(matrices, images), split_into_chunks(output), strict=True
    ):
        moved = F.grid_sample(chunk.float(), _build_grid(own, images.shape[-1]), mode=mode, align_corners=False)
        # It is in channels-first strides; int16 is converted to channels last in half the time of uint8.
        target.copy_(moved.round_().to(torch.int16).contiguous(memory_format=torch.channels_last))
    return output


def _build_grid(matrices: Tensor, size: int) -> Tensor:
    """The result of `affine_grid` for `matrices` [B, 2, 3] in pixels, float [B, S, S, 2], in a tenth of its time."""
    along = (2 * torch.arange(size, device=matrices.device) + 1) / size - 1
    of_x, of_y, constant = matrices[..., None, None].unbind(2)
    row = torch.addcmul(constant * (2 / size), of_y, along[:, None])
    return (row + of_x * along).permute(0, 2, 3, 1)


def shift_rows(images: Tensor, shifts: Tensor, mode: str) -> Tensor:
    """Move each row of square images, uint8 [B, 3, S, S], to the right by its own shift in pixels, filling with black.

    shifts: float [B, S] on the images' device. mode: `bilinear` or `nearest`.

    A shifted row is one contiguous slice of the row with black borders, copied without indexing pixels: a tenth of the
    time of `apply_affine`.
    """
    num, _, size, _ = images.shape
    bordered = F.pad(images.permute(0, 2, 3, 1), (0, 0, size, size + 1)).flatten()
    width = 3 * size + (3 if mode == "bilinear" else 0)  # a pixel more to interpolate with
    windows = bordered.as_strided((len(bordered) - width + 1, width), (1, 1))
    starts = size - shifts.clamp(-size, size)
    starts = starts if mode == "bilinear" else starts.round()
    whole = starts.floor()
    lines = torch.arange(num * size, device=images.device) * (3 * size + 1) + whole.long().flatten()
    moved = windows.index_select(0, 3 * lines)
    if mode == "bilinear":
        levels, share = moved.float(), (starts - whole).view(-1, 1)
        moved = torch.lerp(levels[:, :-3], levels[:, 3:], share).round_().to(torch.int16).to(torch.uint8)
    return moved.view(num, size, size, 3).permute(0, 3, 1, 2)


#: Size of a chunk in bytes of float32, so that a few intermediates stay in the CPU cache. Between 0.5 and 4 MB the time
#: is the same; the whole batch at once takes 1.5 times as long at 128 px.
CHUNK_BYTES = 2**20


def split_into_chunks(rows: Tensor, images: Tensor | None = None) -> tuple[Tensor, ...]:
    """Views of `rows` [B, …], one per chunk of `images` [B, …] (default: `rows`): `CHUNK_BYTES` on a CPU, else all."""
    images = rows if images is None else images
    length = CHUNK_BYTES // (4 * max(1, images[:1].numel())) if images.device.type == "cpu" else len(images)
    return rows.split(max(1, length))


def empty_channels_last(images: Tensor, dtype: torch.dtype) -> Tensor:
    """An uninitialized batch of the same shape [B, C, H, W] in channels-last strides."""
    return torch.empty(images.shape, dtype=dtype, device=images.device, memory_format=torch.channels_last)


def select_images(images: Tensor, rows: Tensor) -> Tensor:
    """Images `rows` int64 [N] of a channels-last batch [B, 3, S, S], in 0.2 µs per image; indexing takes 8 µs."""
    return images.permute(0, 2, 3, 1).index_select(0, rows.to(images.device, non_blocking=True)).permute(0, 3, 1, 2)
