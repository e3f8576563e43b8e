"""Decodes image files to upright uint8 images."""

import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from torch import Tensor

from sota_exp.config.data_paths import find_path_problem
from sota_exp.data.open_image import explain_error, open_image
from sota_exp.data.store_writer import UnreadableImage

# Part of the keys of the cache: increment it when the same files are decoded into different pixels.
DECODING = 4

# Part of the digests of streamed sets, which know their files and not their pixels.
STREAM_DIGEST = 1

#: White of 12-bit and 16-bit values.
TWELVE_BITS, SIXTEEN_BITS = 2**12 - 1, 2**16 - 1

#: Values up to this one are black, of 12 bits as of 16.
DARKEST = 15

#: TIFF tags of the bits per sample, of whether 0 is black (1) or white (0), and of the value of white.
TIFF_BITS, TIFF_ZERO, TIFF_WHITE = 258, 262, 281

#: What Pillow raises for files that are not images, or that it refuses to decode.
DECODE_ERRORS = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)


class ImageFile(NamedTuple):
    """An image file, the name of its class, and its split (TRAIN, VAL or TEST)."""

    path: Path
    class_name: str
    split: int


#: What a user should know of how images were read: a warning with their number and the first of them.
TWELVE_BIT, TRANSPARENT = "twelve_bit", "transparent"
REMARKS = {
    TWELVE_BIT: "16-bit images without a value above 4095 are read as 12-bit images, where 4095 is white ({images}); "
    "dark images of 16 bits must be converted to 8 bits before",
    TRANSPARENT: "transparent pixels of images are shown as white ({images}); lay them on another background before, "
    "if they mean one",
}


class Decoded(NamedTuple):
    """An upright image, uint8 [3, H, W], and which of `REMARKS` are true of it."""

    pixels: Tensor
    remarks: tuple[str, ...]


def decode_image(path: Path, step: int = 1) -> Tensor:
    """The image in a file, see `decode_file`: uint8 [3, H, W]."""
    return decode_file(path, step).pixels


def decode_file(path: Path, step: int = 1) -> Decoded:
    """The image in a file, upright; of an animation the first frame.

    step: 1, 2, 4 or 8; a JPEG is decoded at 1/step of its size, rounded up, other formats at full size.

    Pillow decodes it: torchvision's decoders are deprecated since 0.29, and Pillow releases the GIL too.

    Raises:
        UnreadableImage: the file cannot be decoded.
    """
    try:
        with open_image(path) as image:
            if step > 1 and image.format in ("JPEG", "MPO"):
                width, height = image.size
                image.draft("RGB", (max(1, width // step), max(1, height // step)))
            return decode_upright(image)
    except DECODE_ERRORS as error:
        raise make_unreadable(path, error) from error


def choose_step(factor: float) -> int:
    """The largest `step` of `decode_file` that reduces by at most `factor`."""
    return max(step for step in (1, 2, 4, 8) if step <= max(factor, 1))


def make_unreadable(path: Path, error: Exception) -> UnreadableImage:
    """The error about a file that Pillow cannot read, with the reason in plain words; error: Pillow's."""
    if problem := find_path_problem(path, is_folder=False):
        return UnreadableImage(path, f"it {problem.removeprefix(f'{path.absolute()} ')}")
    if path.stat().st_size == 0:
        return UnreadableImage(path, "the file is empty")
    if isinstance(error, UnidentifiedImageError):
        return UnreadableImage(path, "its content is in no image format that Pillow reads")
    return UnreadableImage(path, (isinstance(error, OSError) and error.strerror) or explain_error(error))


def decode_upright(image: Image.Image) -> Decoded:
    """An image that is not decoded yet, rotated by its EXIF orientation.

    Transparent pixels show white: the colour stored below them is not what anybody saw.

    Raises:
        ValueError: its pixels are 32-bit integers or floats.
    """
    header_white, bits, is_negative = read_white(image), read_significant_bits(image), is_deep_negative(image)
    low, white = copy_low_bytes(image), SIXTEEN_BITS
    upright, is_guessed = ImageOps.exif_transpose(image), False
    if upright.mode.startswith("I;16") or (upright.mode == "I" and header_white is not None):
        values = np.asarray(upright).astype(np.uint32)
        white, is_guessed = (header_white, False) if header_white else choose_white(values, bits)
        upright = Image.fromarray(scale_to_eight_bits(values, white))
    upright = to_eight_bits(upright)
    pixels = np.array(upright.convert("RGB"))
    if low is not None and pixels.max() <= get_largest_white(bits) >> 8:
        values = pixels.astype(np.uint32) << 8 | np.array(ImageOps.exif_transpose(low).convert("RGB"))
        white, is_guessed = choose_white(values, bits)
        pixels = scale_to_eight_bits(values, white)
    opacity, is_told = find_opacity(upright, white), is_guessed and bool(pixels.any())
    if opacity:
        backdrop = Image.new("RGB", upright.size, "white")
        pixels = np.array(Image.composite(Image.fromarray(pixels), backdrop, opacity))
    pixels = 255 - pixels if is_negative else pixels
    return Decoded(torch.from_numpy(pixels).permute(2, 0, 1), list_remarks(is_told, opacity))


def list_remarks(is_twelve_bit: bool, opacity: Image.Image | None) -> tuple[str, ...]:
    return (TWELVE_BIT,) * is_twelve_bit + (TRANSPARENT,) * (opacity is not None)


def find_opacity(image: Image.Image, white: int) -> Image.Image | None:
    """The opacity of every pixel, 0 to 255; None if all are opaque, as in many images with an alpha channel.

    white: the 16-bit value of white, and that of opaque.
    """
    opacity = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    if opacity is None or opacity.getextrema() == (255, 255):
        return None
    return None if white < SIXTEEN_BITS and np.asarray(opacity).max() <= white >> 8 else opacity


def is_deep_negative(image: Image.Image) -> bool:
    """Whether 0 is white in a TIFF of more than 8 bits: Pillow inverts those of 8 bits only."""
    return isinstance(image, TiffImageFile) and image.mode.startswith("I;16") and image.tag_v2.get(TIFF_ZERO) == 0


def read_white(image: Image.Image) -> int | None:
    """The 16-bit value of white by the header of the file; None where that does not say it."""
    if isinstance(image, TiffImageFile):
        (bits, *_), (white,) = image.tag_v2.get(TIFF_BITS, (16,)), image.tag_v2.get(TIFF_WHITE, (None,))
        return white or (2**bits - 1 if bits < 16 else None)
    return SIXTEEN_BITS if image.format in ("PPM", "JPEG2000") else None  # Pillow scales their values.


def read_significant_bits(image: Image.Image) -> int | None:
    """The bits of a PNG's values, of its colours the most, by its chunk sBIT; None without it, and in other formats.

    image: not decoded yet.
    """
    if not isinstance(image, PngImageFile) or not image.fp:
        return None
    place, bits = image.fp.tell(), 0
    image.fp.seek(8)  # behind the signature
    while len(head := image.fp.read(8)) == 8 and head[4:] != b"IDAT":
        length = int.from_bytes(head[:4], "big")
        if head[4:] == b"sBIT":
            bits = max(image.fp.read(length), default=0)
            break
        image.fp.seek(length + 4, io.SEEK_CUR)
    image.fp.seek(place)
    return bits if 8 <= bits <= 16 else None


def get_largest_white(bits: int | None) -> int:
    """The largest value that a PNG of 16 bits can have where white is less than 65535."""
    return TWELVE_BITS if bits is None else 2**bits - 1


def choose_white(values: NDArray[np.uint32], bits: int | None) -> tuple[int, bool]:
    """The value of white of 16-bit values [...], and whether it is a guess; bits: by `read_significant_bits`."""
    fits = bool(values.max() <= get_largest_white(bits))
    if bits is None:
        return (TWELVE_BITS if fits else SIXTEEN_BITS), fits
    return (2**bits - 1 if fits and not is_scaled(values, bits) else SIXTEEN_BITS), False


def is_scaled(values: NDArray[np.uint32], bits: int) -> bool:
    """Whether all values [...] are those of `bits` (8 to 16) scaled to 16, in one of the ways that PNG names.

    Source: PNG specification (third edition), 12.4 Sample depth scaling: zero fill, left bit replication, linear.
    """
    shift = 16 - bits
    original = values >> shift
    filled = original << shift
    forms = filled, filled | original >> (bits - shift), np.rint(original * (SIXTEEN_BITS / (2**bits - 1)))
    return any(bool((values == form).all()) for form in forms)


def describe_reading(image: Image.Image) -> tuple[str, tuple[str, ...]]:
    """What the pixels of an image that is not decoded yet depend on beside its file, often "", and its `REMARKS`."""
    (white, peak), is_negative = find_reduced_white(image), is_deep_negative(image)
    opacity = find_opacity(image, white or SIXTEEN_BITS)
    facts = [str(white)] * bool(white) + ["negative"] * is_negative + ["see-through"] * (opacity is not None)
    return "".join(f"-{fact}" for fact in facts), list_remarks((peak or 0) > DARKEST, opacity)


def find_reduced_white(image: Image.Image) -> tuple[int | None, int | None]:
    """The value of white of an image of 9 to 15 bits that is not decoded yet, and the largest value if that decides.

    None for all other images.
    """
    white, low, bits = read_white(image), copy_low_bytes(image), read_significant_bits(image)
    if not image.mode.startswith("I;16") and low is None:
        return None, None
    if white is not None:
        return (white if white < SIXTEEN_BITS else None), None
    values = np.asarray(image.convert("RGB") if low else image).astype(np.uint32)
    if low and values.max() <= get_largest_white(bits) >> 8:
        values = values << 8 | np.asarray(low.convert("RGB"))
    elif low:
        return None, None
    white, is_guessed = choose_white(values, bits)
    return (white if white < SIXTEEN_BITS else None), (int(values.max()) if is_guessed else None)


def copy_low_bytes(image: Image.Image) -> Image.Image | None:
    """The low bytes of a PNG of 16-bit colours or of 16-bit grey with alpha, of which Pillow gives the high bytes.

    None for other images.
    """
    if not isinstance(image, PngImageFile) or image.mode == "I;16" or not image.fp:
        return None
    if not any(str(tile.args).endswith(";16B") for tile in image.tile):
        return None
    place = image.fp.tell()
    image.fp.seek(0)
    again = open_image(io.BytesIO(image.fp.read()))
    image.fp.seek(place)
    if not any(tile.args == "LA;16B" for tile in again.tile):
        again.tile = [tile._replace(args=str(tile.args).replace(";16B", ";16L")) for tile in again.tile]
        return again
    # Pillow does not read the low bytes of grey with alpha; as RGBA, the four bytes of a pixel are its channels.
    again.tile = [tile._replace(args="RGBA") for tile in again.tile]
    low = again.getchannel("G")
    low.info = again.info  # with the orientation
    return low


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


def scale_to_eight_bits(values: NDArray[np.uint32], white: int) -> NDArray[np.uint8]:
    """Values [...] from 0 to `white` as uint8 [...]. Pillow would clip them at 255, which turns images white."""
    return (values.clip(max=white) * 256 // (white + 1)).astype(np.uint8)


def describe_remark(remark: str, num: int, total: int, first: str) -> str:
    """The warning about `num` of `total` images; first: the name of the first one."""
    return REMARKS[remark].format(images=f"{num:,} of {total:,} images; the first is {first}")
