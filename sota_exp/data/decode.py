"""Decodes image files to upright uint8 images, several in parallel."""

import io
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from torch import Tensor

from sota_exp.data.store_writer import UnreadableImage

# Part of the keys of the cache: increment it when the same files are decoded into different pixels.
DECODING = 3

# Part of the digests of streamed sets, which know their files and not their pixels.
STREAM_DIGEST = 1

#: White of 12-bit and 16-bit values; the TIFF tags of the bits per sample, of whether 0 is black (1) or white (0), and
#: of the value of white.
TWELVE_BITS, SIXTEEN_BITS = 2**12 - 1, 2**16 - 1
TIFF_BITS, TIFF_ZERO, TIFF_WHITE = 258, 262, 281

log = logging.getLogger(__name__)

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
    """The pixels of an image that is not decoded yet, rotated by its EXIF orientation: uint8 [3, H, W].

    Transparent pixels show white: the colour stored below them is not what anybody saw.
    """
    white, again, is_negative = read_white(image), copy_deep_colour(image), is_deep_negative(image)
    upright = to_eight_bits(ImageOps.exif_transpose(image), white)
    pixels, opacity = np.array(upright.convert("RGB")), find_opacity(upright)
    if again is not None and pixels.max() <= TWELVE_BITS >> 8:
        low_bytes = np.array(ImageOps.exif_transpose(again).convert("RGB"))
        pixels = scale_to_eight_bits(pixels.astype(np.uint32) << 8 | low_bytes, None)
        if opacity and np.asarray(opacity).max() <= TWELVE_BITS >> 8:
            opacity = None  # of 12 bits too
    if opacity:
        warn_of_transparency()
        backdrop = Image.new("RGB", upright.size, "white")
        pixels = np.array(Image.composite(Image.fromarray(pixels), backdrop, opacity))
    return torch.from_numpy(255 - pixels if is_negative else pixels).permute(2, 0, 1)


def find_opacity(image: Image.Image) -> Image.Image | None:
    """The opacity of every pixel, 0 to 255; None if all are opaque, as in many images with an alpha channel."""
    opacity = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    return opacity if opacity and opacity.getextrema() != (255, 255) else None


def is_deep_negative(image: Image.Image) -> bool:
    """Whether 0 is white in a TIFF of more than 8 bits: Pillow inverts those of 8 bits only."""
    return isinstance(image, TiffImageFile) and image.mode.startswith("I;16") and image.tag_v2.get(TIFF_ZERO) == 0


def read_white(image: Image.Image) -> int | None:
    """The 16-bit value of white by the header of the file; None where that does not say it."""
    if isinstance(image, TiffImageFile):
        (bits, *_), (white,) = image.tag_v2.get(TIFF_BITS, (16,)), image.tag_v2.get(TIFF_WHITE, (None,))
        return white or (2**bits - 1 if bits < 16 else None)
    return SIXTEEN_BITS if image.format in ("PPM", "JPEG2000") else None  # Pillow scales their values.


def describe_reading(image: Image.Image) -> str:
    """What the pixels of an image that is not decoded yet depend on beside its file: white, transparency; often ""."""
    white, is_negative = find_reduced_white(image), is_deep_negative(image)
    facts = (
        [str(white)] * bool(white) + ["negative"] * is_negative + ["see-through"] * (find_opacity(image) is not None)
    )
    return "".join(f"-{fact}" for fact in facts)


def find_reduced_white(image: Image.Image) -> int | None:
    """The value of white of an image of 9 to 15 bits that is not decoded yet; None for all others."""
    white, again = read_white(image), copy_deep_colour(image)
    if not image.mode.startswith("I;16") and again is None:
        return None
    peak = int(np.asarray(image.convert("RGB") if again else image).max()) << (8 if again else 0)
    white = white or (TWELVE_BITS if peak <= TWELVE_BITS else SIXTEEN_BITS)
    return white if white < SIXTEEN_BITS else None


def copy_deep_colour(image: Image.Image) -> Image.Image | None:
    """A copy that decodes the low bytes of a PNG of 16-bit colours, of which Pillow gives the high bytes; else None."""
    if not isinstance(image, PngImageFile) or image.mode == "I;16" or not image.fp:
        return None
    if not any(str(tile.args).endswith(";16B") for tile in image.tile):
        return None
    place = image.fp.tell()
    image.fp.seek(0)
    again = Image.open(io.BytesIO(image.fp.read()))
    image.fp.seek(place)
    again.tile = [tile._replace(args=str(tile.args).replace(";16B", ";16L")) for tile in again.tile]
    return again


def to_eight_bits(image: Image.Image, white: int | None) -> Image.Image:
    """The image with 8 bits per channel; Pillow would clip 16-bit values at 255, which turns images white.

    white: as for `scale_to_eight_bits`.

    Raises:
        ValueError: the pixels are 32-bit integers or floats.
    """
    if image.mode.startswith("I;16") or (image.mode == "I" and white is not None):
        return Image.fromarray(scale_to_eight_bits(np.asarray(image).astype(np.uint32), white))
    if image.mode in ("I", "F"):
        raise ValueError(f"its pixels have the mode {image.mode}, whose range is unknown")
    if image.mode == "P" and "transparency" in image.info:
        return image.convert("RGBA")  # a direct conversion to RGB makes Pillow warn
    return image


def scale_to_eight_bits(values: NDArray[np.uint32], white: int | None) -> NDArray[np.uint8]:
    """Values [...] from 0 to `white` as uint8 [...]; None: of 12 bits if none exceeds 4095, else of 16."""
    if white is None:
        is_deep = values.max(initial=0) > TWELVE_BITS
        white = SIXTEEN_BITS if is_deep else TWELVE_BITS
        if not is_deep:
            warn_of_twelve_bits()
    return (values.clip(max=white) * 256 // (white + 1)).astype(np.uint8)


@cache
def warn_of_twelve_bits() -> None:
    """Say, once per process, that values are read as 12-bit ones."""
    log.warning(
        "16-bit images without a value above 4095 are read as 12-bit images, where 4095 is white; "
        "dark images of 16 bits must be converted to 8 bits before"
    )


@cache
def warn_of_transparency() -> None:
    """Say, once per process, what transparent pixels become."""
    log.warning(
        "transparent pixels of images are shown as white; lay them on another background before, if they mean one"
    )


def map_in_threads(function: Callable[[In], Out], items: Sequence[In]) -> Iterator[Out]:
    """`function` of every item in order, in threads (decoding releases the GIL), `MAX_DECODED` results at a time."""
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(items), MAX_DECODED):
            yield from pool.map(function, items[start : start + MAX_DECODED])
