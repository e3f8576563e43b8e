"""Decodes image files to upright uint8 images."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from sota_exp.config.data_paths import find_path_problem
from sota_exp.data.deep_pixels import (
    DARKEST,
    SIXTEEN_BITS,
    choose_white,
    combine_bytes,
    copy_low_bytes,
    find_white,
    is_deep_grey,
    is_deep_negative,
    read_depth,
    read_white_or_peak,
    scale_to_eight_bits,
)
from sota_exp.data.fast_jpeg import decode_fast
from sota_exp.data.members import Member
from sota_exp.data.open_image import explain_error, open_image
from sota_exp.data.store_writer import UnreadableImage

# Part of the keys of the cache: increment it when the same files are decoded into different pixels.
DECODING = 5

# Part of the digests of streamed sets, which know their files and not their pixels.
STREAM_DIGEST = 1

#: What Pillow raises for files that are not images, or that it refuses to decode.
DECODE_ERRORS = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)


#: What a user should know of how images were read: a warning with their number and the first of them. Of 16-bit values
#: whose header does not say the value of white, that is part of the remark: `deep-4095`.
DEEP, DARK, TRANSPARENT = "deep", "dark", "transparent"
WHITE_BY_KEY = "data.white=65535 reads them as 16 bits"
WHITE_BY_FILE = "dark images of 16 bits must be converted to 8 bits before"
REMARKS = {
    DEEP: "16-bit images whose header does not say the value of white are read as images of {bits} bits, where {white} "
    "is white, as none has a larger value ({images}); {remedy}",
    DARK: "16-bit images whose header does not say the value of white have no value above {below}, a sixteenth of the "
    "white of their data set, and are read as dark ({images}); if {below} is white in them, set data.white={below}, or "
    "convert them to 8 bits before",
    TRANSPARENT: "transparent pixels of images are shown as white ({images}); lay them on another background before, "
    "if they mean one",
}


class Decoded(NamedTuple):
    """An upright image, uint8 [3, H, W], and which remarks are true of it, see `describe_remark`."""

    pixels: Tensor
    remarks: tuple[str, ...]


def decode_image(path: Path | Member, step: int = 1, white: int | None = None) -> Tensor:
    """The image in a file, see `decode_file`: uint8 [3, H, W]."""
    return decode_file(path, step, white).pixels


def decode_file(path: Path | Member, step: int = 1, white: int | None = None) -> Decoded:
    """The image in a file, upright; of an animation the first frame.

    step: 1, 2, 4 or 8; a JPEG is decoded at 1/step of its size, rounded up, other formats at full size.
    white: of 16-bit values whose header does not say it; None: by those of this file, at least 4095.

    Pillow decodes it, or simplejpeg to the same bits: torchvision's decoders are deprecated since 0.29.

    Raises:
        UnreadableImage: the file cannot be decoded.
    """
    try:
        if (pixels := decode_fast(path, step)) is not None:
            return Decoded(pixels, ())
        with open_image(path) as image:
            if step > 1 and image.format in ("JPEG", "MPO"):
                width, height = image.size
                image.draft("RGB", (max(1, width // step), max(1, height // step)))
            return decode_upright(image, white)
    except DECODE_ERRORS as error:
        raise make_unreadable(path, error) from error


def choose_step(factor: float) -> int:
    """The largest `step` of `decode_file` that reduces by at most `factor`."""
    return max(step for step in (1, 2, 4, 8) if step <= max(factor, 1))


def make_unreadable(path: Path | Member, error: Exception) -> UnreadableImage:
    """The error about a file or member that Pillow cannot read, with the reason in plain words; error: Pillow's."""
    if not isinstance(path, Member) and (problem := find_path_problem(path, is_folder=False)):
        return UnreadableImage(path, f"it {problem.removeprefix(f'{path.absolute()} ')}")
    if isinstance(error, UnidentifiedImageError):
        return UnreadableImage(path, "its content is in no image format that Pillow reads")
    return UnreadableImage(path, (isinstance(error, OSError) and error.strerror) or explain_error(error))


def decode_upright(image: Image.Image, white: int | None = None) -> Decoded:
    """An image that is not decoded yet, rotated by its EXIF orientation. white: as for `decode_file`.

    Transparent pixels show white: the colour stored below them is not what anybody saw.

    Raises:
        ValueError: its pixels are 32-bit integers or floats.
    """
    depth, is_negative, is_grey = read_depth(image), is_deep_negative(image), is_deep_grey(image)
    low, used, is_guessed = copy_low_bytes(image), SIXTEEN_BITS, False
    ImageOps.exif_transpose(image, in_place=True)  # without a copy where there is nothing to turn
    upright = image
    if is_grey:
        values = np.asarray(upright).astype(np.uint32)
        used, is_guessed = choose_white(values, depth, white)
        upright = Image.fromarray(scale_to_eight_bits(values, used))
    upright = to_eight_bits(upright)
    pixels = np.array(upright if upright.mode == "RGB" else upright.convert("RGB"))
    if low is not None:
        values = combine_bytes(upright, low)
        used, is_guessed = choose_white(values, depth, white)
        pixels = scale_to_eight_bits(values, used)
    opacity = find_opacity(upright, used)
    if opacity:
        backdrop = Image.new("RGB", upright.size, "white")
        pixels = np.array(Image.composite(Image.fromarray(pixels), backdrop, opacity))
    pixels = 255 - pixels if is_negative else pixels
    remarks = (f"{DEEP}-{used}",) * is_guessed + (TRANSPARENT,) * (opacity is not None)
    return Decoded(torch.from_numpy(pixels).permute(2, 0, 1), remarks)


def find_opacity(image: Image.Image, white: int) -> Image.Image | None:
    """The opacity of every pixel, 0 to 255; None if all are opaque, as in many images with an alpha channel.

    white: the 16-bit value of white, and that of opaque.
    """
    opacity = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    if opacity is None or opacity.getextrema() == (255, 255):
        return None
    return None if white < SIXTEEN_BITS and np.asarray(opacity).max() <= white >> 8 else opacity


class Reading(NamedTuple):
    """What the pixels of a file depend on beside its bytes, as text, often ""; remarks; and the largest value of those
    of 16 bits whose header does not say the value of white, else None."""

    text: str
    remarks: tuple[str, ...]
    peak: int | None


def describe_reading(image: Image.Image) -> Reading:
    """How an image that is not decoded yet will be read."""
    negative = ["negative"] * is_deep_negative(image)
    white, peak = read_white_or_peak(image)
    opacity = find_opacity(image, white or (SIXTEEN_BITS if peak is None else find_white(peak)))
    reduced = [str(white)] * (white is not None and white < SIXTEEN_BITS)
    facts = [*reduced, *negative, *["see-through"] * (opacity is not None)]
    return Reading("".join(f"-{fact}" for fact in facts), (TRANSPARENT,) * (opacity is not None), peak)


def to_eight_bits(image: Image.Image) -> Image.Image:
    """The image as Pillow can convert it to 8 bits per channel.

    Raises:
        ValueError: the pixels are 32-bit integers or floats.
    """
    if image.mode in ("I", "F"):
        raise ValueError(f"its pixels have the mode {image.mode}, whose range is unknown")
    if image.mode == "P" and "transparency" in image.info:
        return image.convert("RGBA")  # a direct conversion to RGB makes Pillow warn
    return image


def describe_remark(remark: str, num: int, total: int, first: str, remedy: str = WHITE_BY_FILE) -> str:
    """The warning about `num` of `total` images; "" where all is as usual, 16-bit images with a white of 65535.

    remark: a key of `REMARKS`, with the value of white for `DEEP` and `DARK`. first: the name of the first image.
    remedy: for `DEEP`.
    """
    name, _, white = remark.partition("-")
    if remark == f"{DEEP}-{SIXTEEN_BITS}":
        return ""
    bits, images = int(white or 0).bit_length(), f"{num:,} of {total:,} images; the first is {first}"
    return REMARKS[name].format(images=images, bits=bits, white=white, below=int(white or 0) >> 4, remedy=remedy)


def find_depth_remarks(peak: int | None, white: int | None) -> tuple[str, ...]:
    """The remarks about an image of a data set whose 16-bit values up to `white` are read as up to 255.

    peak: its largest value, None where it has 8 bits, or its header says the value of white.
    """
    if peak is None or white is None:
        return ()
    return (f"{DEEP}-{white}", *([f"{DARK}-{white}"] if DARKEST < peak <= white >> 4 else []))


def read_white(remarks: Iterable[str]) -> int | None:
    """The value of white that the remarks about a data set tell; None where no image of it needs one."""
    return next((int(remark.partition("-")[2]) for remark in remarks if remark.startswith(f"{DEEP}-")), None)


def read_peak(path: Path | Member) -> int | None:
    """The largest value of a 16-bit image whose header does not say the value of white; None for all other files."""
    try:
        with open_image(path) as image:
            return read_white_or_peak(image)[1]
    except DECODE_ERRORS:  # reported when the image is decoded
        return None
