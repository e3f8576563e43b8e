"""JPEGs decoded by simplejpeg (extra `turbo`), in about half of Pillow's time and to the same bits.

Both call libjpeg-turbo. What is special in a file (rotation, CMYK, damage) is left to Pillow, so nothing but the time
depends on whether the package is installed.
"""

import importlib
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sota_exp.data.members import Member, open_bytes
from sota_exp.data.open_image import read_limit

#: The first bytes of a JPEG, and bytes that one has which is rotated (in EXIF or XMP data) or has several pictures.
START, SPECIAL = b"\xff\xd8\xff", (b"Exif\0\0", b"http://ns.adobe.com/xap", b"MPF\0")


@cache
def import_simplejpeg() -> Any:
    """The package, or None."""
    try:
        return importlib.import_module("simplejpeg")
    except ImportError:
        return None


def decode_fast(file: Path | Member, step: int) -> Tensor | None:
    """The pixels of a JPEG at 1/`step` of its size, rounded up: uint8 [3, h, w].

    None where Pillow must decode it: the package is not installed, or the file is not an ordinary upright JPEG.

    Raises:
        OSError: the file cannot be read.
    """
    package = import_simplejpeg()
    if package is None:
        return None
    with open_bytes(file) as opened:
        content = opened.read(len(START))
        if content != START:
            return None
        content += opened.read()
    if any(mark in content for mark in SPECIAL):
        return None
    try:
        height, width, colors, _ = package.decode_jpeg_header(content)
        if colors not in ("YCbCr", "Gray") or min(height, width) < step or height * width > read_limit():
            return None
        height, width = -(-height // step), -(-width // step)
        sides = {"min_height": height, "min_width": width} if step > 1 else {}
        pixels = torch.from_numpy(package.decode_jpeg(content, **sides))
    except ValueError:  # also for what Pillow reads nevertheless, or refuses in better words
        return None
    return pixels.permute(2, 0, 1) if pixels.shape[:2] == (height, width) else None
