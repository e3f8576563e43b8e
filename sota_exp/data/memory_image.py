"""Images in memory as the pixels that training and evaluation read: Pillow's, arrays and tensors."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from sota_exp.config.data_paths import expand_home
from sota_exp.data.decode import decode_image, decode_upright
from sota_exp.data.store_writer import UnreadableImage
from sota_exp.errors import ConfigError

#: Numbers of channels of an image: grey, with colour, with opacity.
CHANNELS = (1, 3, 4)


def read_image(given: Any, white: int | None = None) -> Tensor:
    """The pixels of an image, uint8 [3, H, W].

    given: the path of a file; a Pillow image; an array [H, W, 3], [H, W, 4] (with opacity), [H, W, 1] or [H, W]; a
    tensor [3, H, W], [1, H, W] or [H, W]; or either in the order of the other, where that order alone fits. Arrays and
    tensors are uint8, or floats in [0, 1]. white: of 16-bit images.

    Raises:
        ConfigError: it is none of these.
    """
    if isinstance(given, str | os.PathLike):
        return read_path(expand_home(os.fspath(given)), white)
    if isinstance(given, Image.Image):
        return read_pillow(given, white)
    if not isinstance(given, np.ndarray | Tensor):
        legal = "a path, an array, a tensor or an image of Pillow"
        raise ConfigError(f"{type(given).__name__} is no image; legal: {legal}")
    is_tensor = isinstance(given, Tensor)
    kind = "tensor" if is_tensor else "array"
    values: np.ndarray = given.detach().cpu().numpy() if isinstance(given, Tensor) else given
    orders = [axis for axis in ((0, 2) if is_tensor else (2, 0)) if values.ndim == 3 and values.shape[axis] in CHANNELS]
    if not (orders or values.ndim == 2) or 0 in values.shape:
        legal = "[3, H, W] or [1, H, W]" if is_tensor else "[H, W, 3], [H, W, 4] or [H, W]"
        raise ConfigError(f"{kind} of shape {list(given.shape)} is no image; legal: {legal}")
    if orders[:1] == [0]:
        values = values.transpose(1, 2, 0)
    values = to_bytes(values, kind)
    return read_pillow(Image.fromarray(values[:, :, 0] if values.shape[2:] == (1,) else values), white)


def read_path(path: Path, white: int | None) -> Tensor:
    """The pixels of an image in a file, uint8 [3, H, W].

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return decode_image(path, white=white)
    except UnreadableImage as error:
        raise ConfigError(str(error)) from error


def read_pillow(image: Image.Image, white: int | None) -> Tensor:
    """The pixels of a Pillow image, upright, uint8 [3, H, W]; the image stays as it is.

    Raises:
        ConfigError: its pixels are 32-bit numbers, whose range is unknown.
    """
    try:
        return decode_upright(image.copy(), white).pixels
    except (OSError, ValueError, SyntaxError) as error:
        raise ConfigError(f"an image of Pillow cannot be read: {error}") from error


def to_bytes(values: np.ndarray, kind: str) -> np.ndarray:
    """uint8 [...] of values that are uint8, or floats in [0, 1]. kind: of what has them, for the error.

    Raises:
        ConfigError: they are neither.
    """
    if values.dtype == np.uint8:
        return values
    low, high = (values.min(), values.max()) if values.dtype.kind == "f" else (0, 0)
    if values.dtype.kind != "f" or not (low >= 0 and high <= 1):
        found = f"values from {low:.3g} to {high:.3g}" if values.dtype.kind == "f" else f"values of {values.dtype}"
        fix = ": .astype('uint8') makes it so" if values.min() >= 0 and 1 < values.max() <= 255 else ""
        raise ConfigError(f"{kind} with {found}; legal: uint8, or floats in [0, 1], before any normalization{fix}")
    return np.rint(values.astype(np.float32) * 255).astype(np.uint8)
