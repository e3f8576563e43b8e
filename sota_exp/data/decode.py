"""Image files and their pixels: decoded upright to uint8, several at once."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from sota_exp.data.store_writer import UnreadableImage

# Decoded images held at once: 16 of 24 megapixels take a gigabyte.
CHUNK = 16

#: What Pillow raises where bytes are no image, or one it refuses.
UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)
In = TypeVar("In")
Out = TypeVar("Out")


class Found(NamedTuple):
    """An image file: its class and part by name and number."""

    path: Path
    class_name: str
    split: int


def decode(path: Path) -> Tensor:
    """The image in a file, upright, uint8 [3, H, W]; the first one of an animation. Raises `UnreadableImage`.

    By Pillow: torchvision's decoders are deprecated since 0.29, and Pillow too releases the interpreter while it decodes.
    """
    try:
        with Image.open(path) as image:
            return upright(image)
    except UNREADABLE as error:
        raise UnreadableImage(path, str(error)) from error


def upright(image: Image.Image) -> Tensor:
    """The pixels of an image, turned as its EXIF tag says: uint8 [3, H, W]."""
    pixels = np.array(eight_bits(ImageOps.exif_transpose(image)).convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1)


def eight_bits(image: Image.Image) -> Image.Image:
    """The image with 8 bits a channel; Pillow itself would clip deeper ones at 255 and leave them white."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"its pixels are of kind {image.mode}, whose range is not known")
    if image.mode == "P" and "transparency" in image.info:
        return image.convert("RGBA")  # what Pillow asks for, with a warning, on the way to RGB
    return image


def streamed(function: Callable[[In], Out], items: Sequence[In]) -> Iterator[Out]:
    """`function` of every item, in order, with a chunk of results in memory: decoding releases the interpreter."""
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(items), CHUNK):
            yield from pool.map(function, items[start : start + CHUNK])
