"""Cutting and resizing images of any size into one uint8 batch, antialiased.

Crops go through PyTorch's own uint8 kernel, the one behind torchvision's `resize`: it averages, in integers, over the
source pixels that an output pixel covers. It is fastest on channels-last input, so crops are laid out that way first.
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
from sota_exp.stages.data import Images, Reducible, cut
from sota_exp.stages.stage import require


def interpolate(batch: Tensor, height: int, width: int, mode: str = "bilinear") -> Tensor:
    """Uint8 [B, 3, H, W], channels last, → [B, 3, height, width], antialiased; same size, same tensor.

    mode: `bilinear` or `bicubic`.
    """
    if batch.shape[-2:] == (height, width):
        return batch
    return F.interpolate(batch, size=(height, width), mode=mode, antialias=True)


def shorter_side(height: int, width: int, side: int) -> tuple[int, int]:
    """Height and width after the shorter of them became `side`, the longer one rounded down as torchvision does."""
    if height <= width:
        return side, int(side * width / height)
    return int(side * height / width), side


def center_crop(images: Images, indices: Tensor, resize: int, size: int, mode: str = "bilinear") -> Tensor:
    """Resize the shorter side to `resize`, then cut the centre: uint8 [B, 3, size, size], channels last.

    mode: `bilinear` or `bicubic`.

    Raises `InvalidValue` where the cut is larger than what it is cut from (torchvision would pad it with black).
    """
    require(0 < size <= resize, "size", size, f"pixels, at most the {resize} that the shorter side is resized to")
    picked = indices.tolist()
    if isinstance(images, Reducible):
        return torch.cat(in_threads(partial(_decoded_center, images, resize, size, mode), picked))
    shapes = [images.size(index) for index in picked]
    rows_by_shape: dict[tuple[int, int], list[int]] = defaultdict(list)
    for row, shape in enumerate(shapes):
        rows_by_shape[shape].append(row)
    # Images of one shape go through the kernel together and share its filter weights: 64 to 48 px takes 12 µs an image
    # on one core.
    crops = [_center(images.stacked(indices[rows]), shape, resize, size, mode) for shape, rows in rows_by_shape.items()]
    position = torch.tensor([row for rows in rows_by_shape.values() for row in rows]).argsort()
    return torch.cat([crop.permute(0, 2, 3, 1) for crop in crops]).index_select(0, position).permute(0, 3, 1, 2)


def _center(batch: Tensor, shape: tuple[int, int], resize: int, size: int, mode: str) -> Tensor:
    """The centres of images [B, H, W, 3], which stand for images of `shape`: a view [B, 3, size, size]."""
    height, width = shorter_side(*shape, resize)
    top, left = round((height - size) / 2), round((width - size) / 2)
    return interpolate(batch.permute(0, 3, 1, 2), height, width, mode)[:, :, top : top + size, left : left + size]


def _decoded_center(images: Reducible, resize: int, size: int, mode: str, index: int) -> Tensor:
    """The centre of one image that must be decoded, [1, 3, size, size]: a copy, which lets the whole image go."""
    shape = images.size(index)
    whole = images.reduced(index, min(shape) / resize)
    centre = _center(whole.permute(1, 2, 0)[None].contiguous(), shape, resize, size, mode)
    return centre.clone(memory_format=torch.channels_last)


class DecodedOnce(Reducible):
    """Images that keep what was decoded of them: for several looks at a few of them."""

    def __init__(self, images: Reducible) -> None:
        self.images = images
        self.kept: dict[tuple[int, int], Tensor] = {}

    def __len__(self) -> int:
        return len(self.images)

    def size(self, index: int) -> tuple[int, int]:
        return self.images.size(index)

    def image(self, index: int) -> Tensor:
        return self.reduced(index, 1.0)

    def step_of(self, index: int, factor: float) -> int:
        return self.images.step_of(index, factor)

    def reduced(self, index: int, factor: float) -> Tensor:
        key = index, self.images.step_of(index, factor)
        if key not in self.kept:
            self.kept[key] = self.images.reduced(index, factor)
        return self.kept[key]


def in_threads(make: Callable[..., Tensor], *arguments: Iterable[object]) -> list[Tensor]:
    """`make` of each, by as many threads as PyTorch uses, one in a loader's worker: decoding releases the interpreter."""
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        return list(pool.map(make, *arguments))


def boxes_of(images: Images, indices: Tensor, boxes: Tensor, size: int) -> list[Tensor]:
    """The pixels of each box, uint8 [1, 3, h, w]; reduced where that saves decoding, its edges rounded to reduced pixels."""
    if isinstance(images, Reducible):
        return in_threads(partial(_decoded_box, images, size), indices.tolist(), boxes.tolist())
    return images.boxes(indices, boxes)


def _decoded_box(images: Reducible, size: int, index: int, place: list[int]) -> Tensor:
    """The box at `place` of one image that must be decoded: a copy, which lets the whole image go."""
    (height, width), (top, left, h, w) = images.size(index), place
    whole = images.reduced(index, min(h, w) / size)
    down, across = whole.shape[1] / height, whole.shape[2] / width
    first_row, first_column = int(top * down), int(left * across)
    # A rounded box may reach a pixel over the edge.
    rows = min(max(1, round(h * down)), whole.shape[1] - first_row)
    columns = min(max(1, round(w * across)), whole.shape[2] - first_column)
    return cut(whole, first_row, first_column, rows, columns).clone(memory_format=torch.channels_last)


def resized_crop(images: Images, indices: Tensor, boxes: Tensor, size: int, mode: str = "bilinear") -> Tensor:
    """Cut a box out of each image and resize it to a square: uint8 [B, 3, size, size], channels last.

    boxes: int64 [B, 4], each (top, left, height, width) in pixels and inside its image. mode: `bilinear` or `bicubic`.
    """
    if mode == "bilinear" and resize_small.are_small(images.shape, size):
        return resize_small.resized_boxes(images.stacked(indices), boxes, size)
    return torch.cat([interpolate(box, size, size, mode) for box in boxes_of(images, indices, boxes, size)])


def drawn_sides(areas: Tensor | int, scale: list[float], ratio: list[float], tries: Tensor) -> Tensor:
    """Heights and widths int64 [B, T, 2] of boxes of a random share of `areas` [B, 1] and a random width / height.

    tries: float64 [B, T, 2], uniform: the place of the share in `scale`, and of the ratio's logarithm in that of `ratio`.
    """
    area = areas * (scale[0] + (scale[1] - scale[0]) * tries[..., 0])
    shape = (math.log(ratio[0]) + math.log(ratio[1] / ratio[0]) * tries[..., 1]).exp()
    return torch.stack([area / shape, area * shape], dim=2).sqrt().round().long()


def first_that_fits(sides: Tensor, fits: Tensor) -> tuple[Tensor, Tensor]:
    """The first of the boxes [B, T, 2] that fits (bool [B, T]), and whether one does, bool [B, 1]."""
    return sides[torch.arange(len(sides)), fits.to(torch.uint8).argmax(1)], fits.any(1, keepdim=True)


def affine(images: Tensor, matrices: Tensor, mode: str) -> Tensor:
    """Resample square images so that output pixel (x, y, 1) shows source pixel `matrix @ (x, y, 1)`; black outside.

    images: uint8 [B, 3, S, S]; the result is uint8 in channels-last strides.
    matrices: float [B, 2, 3] in pixels measured from the image centre, x to the right and y down.
    mode: `bilinear` or `nearest`.
    """
    matrices = matrices.to(images.device, non_blocking=True)
    done = empty_like(images, torch.uint8)
    for part, own, place in zip(in_chunks(images), in_chunks(matrices, images), in_chunks(done), strict=True):
        moved = F.grid_sample(part.float(), _grid(own, images.shape[-1]), mode=mode, align_corners=False)
        # It comes one colour after the other; laying out int16 anew takes half of the time of uint8.
        place.copy_(moved.round_().to(torch.int16).contiguous(memory_format=torch.channels_last))
    return done


def _grid(matrices: Tensor, size: int) -> Tensor:
    """What `affine_grid` makes of `matrices` [B, 2, 3] in pixels, float [B, S, S, 2]: in a tenth of its time."""
    along = (2 * torch.arange(size, device=matrices.device) + 1) / size - 1
    of_x, of_y, constant = matrices[..., None, None].unbind(2)
    row = torch.addcmul(constant * (2 / size), of_y, along[:, None])
    return (row + of_x * along).permute(0, 2, 3, 1)


def slide(images: Tensor, shifts: Tensor, mode: str) -> Tensor:
    """Move each row of square images to the right by its own shift in pixels; black comes in. uint8 [B, 3, S, S].

    shifts: float [B, S] on the images' device. mode: `bilinear` or `nearest`.

    A row is one run of bytes at some place between black borders, so no pixel is looked up: a tenth of `affine`'s time.
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


# ------------------------------------------------------------------------------------------------ batches and the cache

#: What one intermediate of a chunk may take, in bytes of float32, so that a few of them stay in the cache. From half a megabyte to
#: four it makes no difference; the whole batch at once takes half as long again at 128 px.
CHUNK_BYTES = 2**20


def chunk_length(images: Tensor) -> int:
    """How many images [B, …] an operation takes at once: on a CPU as many as stay in its cache, elsewhere all."""
    if images.device.type != "cpu":
        return max(1, len(images))
    return max(1, CHUNK_BYTES // (4 * max(1, images[:1].numel())))


def in_chunks(rows: Tensor, images: Tensor | None = None) -> tuple[Tensor, ...]:
    """Views of `rows` [B, …], one for each chunk of `images` (by default of `rows` themselves)."""
    return rows.split(chunk_length(rows if images is None else images))


def empty_like(images: Tensor, dtype: torch.dtype) -> Tensor:
    """Room for a batch of the same shape in channels-last strides."""
    return torch.empty(images.shape, dtype=dtype, device=images.device, memory_format=torch.channels_last)


def take(images: Tensor, rows: Tensor) -> Tensor:
    """Rows of a channels-last batch: whole images are copied, at 0.2 µs each instead of 8 by indexing [B, 3, S, S]."""
    return images.permute(0, 2, 3, 1).index_select(0, rows.to(images.device, non_blocking=True)).permute(0, 3, 1, 2)
