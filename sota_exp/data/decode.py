"""Decodes image files to upright uint8 images, several in parallel."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from sota_exp.data.store_writer import UnreadableImage

# Part of the keys of the cache and of digests: increment it when the same files are decoded into different pixels.
DECODING = 1

# Number of decoded images in memory at once: 16 of 24 megapixels take a gigabyte.
MAX_DECODED = 16

#: What Pillow raises for files that are not images, or that it refuses to decode.
DECODE_ERRORS = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)
In = TypeVar("In")
Out = TypeVar("Out")


class ImageFile(NamedTuple):
    """An image file, the name of its class, and its split (TRAIN, VAL or TEST)."""

    path: Path
    class_name: str
    split: int


def decode_image(path: Path, step: int = 1) -> Tensor:
    """The image in a file, upright, uint8 [3, H, W]; of an animation the first frame.

    step: 1, 2, 4 or 8; a JPEG is decoded at 1/step of its size, rounded up, other formats at full size.

    Pillow decodes it: torchvision's decoders are deprecated since 0.29, and Pillow releases the GIL too.

    Raises:
        UnreadableImage: the file cannot be decoded.
    """
    try:
        with Image.open(path) as image:
            if step > 1 and image.format in ("JPEG", "MPO"):
                width, height = image.size
                image.draft("RGB", (max(1, width // step), max(1, height // step)))
            return to_upright_pixels(image)
    except DECODE_ERRORS as error:
        raise UnreadableImage(path, str(error)) from error


def to_upright_pixels(image: Image.Image) -> Tensor:
    """The pixels of an image, rotated by its EXIF orientation: uint8 [3, H, W]."""
    pixels = np.array(to_eight_bits(ImageOps.exif_transpose(image)).convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1)


def to_eight_bits(image: Image.Image) -> Image.Image:
    """The image with 8 bits per channel; Pillow would clip 16-bit values at 255, which turns images white.

    Raises:
        ValueError: the pixels are 32-bit integers or floats.
    """
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"its pixels have the mode {image.mode}, whose range is unknown")
    if image.mode == "P" and "transparency" in image.info:
        return image.convert("RGBA")  # a direct conversion to RGB makes Pillow warn
    return image


def map_in_threads(function: Callable[[In], Out], items: Sequence[In]) -> Iterator[Out]:
    """`function` of every item in order, in threads (decoding releases the GIL), `MAX_DECODED` results at a time."""
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(items), MAX_DECODED):
            yield from pool.map(function, items[start : start + MAX_DECODED])
