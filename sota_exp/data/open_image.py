"""Opens image files with Pillow: none that is decoded by another program, and none of too many pixels.

A file of a few kilobytes can have billions of pixels. Its header says how many, before anything is decoded.
"""

import os
import re
import warnings
from functools import cache
from pathlib import Path
from typing import IO

from PIL import Image
from PIL.ImageFile import ImageFile

from sota_exp.data.members import Member, open_bytes
from sota_exp.errors import ConfigError

#: The environment variable with the most pixels that an image may have, and its default, which is Pillow's own.
LIMIT_VARIABLE, DEFAULT_LIMIT = "SOTA_EXP_MAX_PIXELS", 178_956_970

#: Formats that Pillow recognizes but does not decode by itself (EPS is a program that Ghostscript runs), or no images.
FORMATS_NOT_DECODED = ("BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF")


def read_limit() -> int:
    """The most pixels that an image may have.

    Raises:
        ConfigError: the environment variable is no number of pixels.
    """
    text = os.environ.get(LIMIT_VARIABLE, str(DEFAULT_LIMIT))
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(
            f"{LIMIT_VARIABLE}={text} is not legal: the most pixels of an image, a whole number from 1 on"
        )
    return int(text)


@cache
def list_formats() -> tuple[str, ...]:
    """The names of the formats that are read, as Pillow tries them."""
    Image.preinit()  # the usual ones first
    Image.init()
    return tuple(name for name in Image.ID if name not in FORMATS_NOT_DECODED)


def open_image(file: Path | Member | IO[bytes]) -> ImageFile:
    """The image in a file, or in one that is in another, not decoded yet.

    Raises:
        OSError, ValueError, SyntaxError, DecompressionBombError: as `PIL.Image.open`.
    """
    return Image.open(open_bytes(file) if isinstance(file, Member) else file, formats=list_formats())


def explain_error(error: Exception) -> str:
    """What Pillow says of a file that it does not read, in plain words."""
    if not isinstance(error, Image.DecompressionBombError):
        return str(error)
    found = re.search(r"\((\d+) pixels\)", str(error))
    num = int(found[1]) if found else 0
    return (
        f"it has {num:,} pixels, more than {read_limit():,}, and was not decoded; "
        f"if you trust it, set the environment variable {LIMIT_VARIABLE}={num}"
    )


# Pillow refuses images of twice this number, in every library that uses it, and warns of those in between.
# Not rounded, so that of an odd limit too an image of just so many pixels is read.
Image.MAX_IMAGE_PIXELS = read_limit() / 2  # type: ignore[assignment]
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
