"""Images of 9 to 16 bits per value: which value is white, and the low bytes of colours, which Pillow leaves out.

White is what the header of a file says; else 2^b − 1, b being the fewest bits that all such files of a data set need.
"""

import io
import sys
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from PIL.ImageFile import ImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from sota_exp.data.open_image import open_image

#: White of 16-bit values.
SIXTEEN_BITS = 2**16 - 1

#: Values up to this one are black, of 12 bits as of 16.
DARKEST = 15

#: Fewest bits of the values of a data set, and those of a single file that is read without one.
LEAST_BITS, LEAST_BITS_OF_ONE = 8, 12

#: TIFF tags of the bits per sample, of whether 0 is black (1) or white (0), and of the value of white.
TIFF_BITS, TIFF_ZERO, TIFF_WHITE = 258, 262, 281

#: Raw mode of Pillow's decoders → the one that gives the low bytes.
OTHER_BYTE = {";16B": ";16L", ";16L": ";16B", ";16N": ";16B" if sys.byteorder == "little" else ";16L"}

#: In a JPEG 2000 codestream: its first two markers, and the place of the bits per value behind them.
JP2_START, JP2_DEPTH = b"\xff\x4f\xff\x51", 42


class Depth(NamedTuple):
    """What the header of a file says: the 16-bit value of white, or the significant bits by PNG's chunk sBIT."""

    white: int | None = None
    bits: int | None = None

    @property
    def is_unknown(self) -> bool:
        return self.white is None and self.bits is None


def is_deep_negative(image: Image.Image) -> bool:
    """Whether 0 is white in a TIFF of more than 8 bits: Pillow inverts those of 8 bits only."""
    return isinstance(image, TiffImageFile) and image.mode.startswith("I;16") and image.tag_v2.get(TIFF_ZERO) == 0


def is_deep_grey(image: Image.Image) -> bool:
    """Whether Pillow decodes 16-bit values."""
    return image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM")


def read_depth(image: Image.Image) -> Depth:
    """What the header says of an image of 9 to 16 bits that is not decoded yet."""
    if isinstance(image, TiffImageFile):
        bits, white = max(image.tag_v2.get(TIFF_BITS, (16,))), image.tag_v2.get(TIFF_WHITE)
        white = max(white) if isinstance(white, tuple) else white
        return Depth(white=white or (2**bits - 1 if bits < 16 else None))
    if image.format == "PPM":
        is_scaled_by_pillow = (
            isinstance(image, ImageFile) and image.mode == "I" and any(tile.codec_name != "raw" for tile in image.tile)
        )
        return Depth(white=SIXTEEN_BITS if is_scaled_by_pillow else None)
    if image.format == "JPEG2000":
        return Depth(white=None if read_jpeg2000_bits(image) == 16 else SIXTEEN_BITS)  # Pillow scales fewer bits.
    return Depth(bits=read_significant_bits(image))


def read_jpeg2000_bits(image: Image.Image) -> int | None:
    """The bits per value of a JPEG 2000 file; None where its codestream does not begin within its first kilobytes."""
    if not isinstance(image, ImageFile) or not image.fp:
        return None
    place = image.fp.tell()
    image.fp.seek(0)
    head = image.fp.read(2**14)
    image.fp.seek(place)
    start = head.find(JP2_START)
    return (head[start + JP2_DEPTH] & 0x7F) + 1 if 0 <= start < len(head) - JP2_DEPTH else None


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


def copy_low_bytes(image: Image.Image) -> Image.Image | None:
    """The low bytes of 16-bit colours or of 16-bit grey with alpha, of which Pillow gives the high bytes.

    None for other images, and for JPEG 2000. The image, which is not decoded yet, then gives the high bytes exactly.
    """
    if not isinstance(image, ImageFile) or image.mode.startswith("I") or not image.fp:
        return None
    if image.format == "PPM" and any(tile.args == ("RGB", SIXTEEN_BITS) for tile in image.tile):
        image.tile = [tile._replace(codec_name="raw", args=("RGB;16B", 0, 1)) for tile in image.tile]
    modes = [tile.args if isinstance(tile.args, str) else str(tile.args[0]) for tile in image.tile if tile.args]
    if not any(mode.startswith(("RGB", "LA")) and mode[-4:] in OTHER_BYTE for mode in modes):
        return None
    place = image.fp.tell()
    image.fp.seek(0)
    again = open_image(io.BytesIO(image.fp.read()))
    image.fp.seek(place)
    if modes[0] != "LA;16B":
        again.tile = [tile._replace(args=swap_bytes(tile.args)) for tile in image.tile]
        return again
    # Pillow does not read the low bytes of grey with alpha; as RGBA, the four bytes of a pixel are its channels.
    again.tile = [tile._replace(args="RGBA") for tile in again.tile]
    low = again.getchannel("G")
    low.info = again.info  # with the orientation
    return low


def swap_bytes(args: Any) -> Any:
    """The arguments of one of Pillow's decoders, with the raw mode that gives the low bytes of 16-bit values."""
    if isinstance(args, tuple):
        return (swap_bytes(args[0]), *args[1:])
    return args[:-4] + OTHER_BYTE[args[-4:]]


def combine_bytes(high: Image.Image, low: Image.Image) -> NDArray[np.uint32]:
    """The 16-bit colours of an image whose bytes are these, [H, W, 3]; the high ones times 256 where these decide."""
    values = np.array(high.convert("RGB")).astype(np.uint32)
    values <<= 8
    if values.max() <= SIXTEEN_BITS // 2:
        values |= np.array(ImageOps.exif_transpose(low).convert("RGB")).astype(np.uint32)
    return values


def find_white(peak: int, least_bits: int = LEAST_BITS) -> int:
    """The value of white where the largest value is `peak`: 2^b − 1 with the fewest bits b; of black images 65535."""
    return SIXTEEN_BITS if peak <= DARKEST else 2 ** max(least_bits, peak.bit_length()) - 1


def find_set_white(peaks: Iterable[int | None]) -> int | None:
    """The value of white of a data set, by the largest value of each of its files; None where no file needs it."""
    known = [peak for peak in peaks if peak is not None]
    return find_white(max(known)) if known else None


def choose_white(values: NDArray[np.uint32], depth: Depth, given: int | None) -> tuple[int, bool]:
    """The value of white of 16-bit values [...], and whether it is a guess; given: that of files that do not say it."""
    if depth.white is not None:
        return depth.white, False
    if depth.bits is not None:
        fits = bool(values.max() <= 2**depth.bits - 1)
        return (2**depth.bits - 1 if fits and not is_scaled(values, depth.bits) else SIXTEEN_BITS), False
    if given is not None:
        return given, False
    white = find_white(int(values.max()), LEAST_BITS_OF_ONE)
    return white, white < SIXTEEN_BITS


def is_scaled(values: NDArray[np.uint32], bits: int) -> bool:
    """Whether all values [...] are those of `bits` (8 to 16) scaled to 16, in one of the ways that PNG names.

    Source: PNG specification (third edition), 12.4 Sample depth scaling: zero fill, left bit replication, linear.
    """
    shift = 16 - bits
    original = values >> shift
    filled = original << shift
    forms = filled, filled | original >> (bits - shift), np.rint(original * (SIXTEEN_BITS / (2**bits - 1)))
    return any(bool((values == form).all()) for form in forms)


def scale_to_eight_bits(values: NDArray[np.uint32], white: int) -> NDArray[np.uint8]:
    """Values [...] from 0 to `white` as uint8 [...]. Pillow would clip them at 255, which turns images white."""
    return (values.clip(max=white) * 256 // (white + 1)).astype(np.uint8)


def read_white_or_peak(image: Image.Image) -> tuple[int | None, int | None]:
    """Of an image that is not decoded yet: (white by its header, its largest value where the header does not say it).

    Both are None for images of 8 bits.
    """
    depth, low = read_depth(image), copy_low_bytes(image)
    if not is_deep_grey(image) and low is None:
        return None, None
    if depth.white is not None:
        return depth.white, None
    values = np.asarray(image).astype(np.uint32) if low is None else combine_bytes(image, low)
    return (None, int(values.max())) if depth.is_unknown else (choose_white(values, depth, None)[0], None)
