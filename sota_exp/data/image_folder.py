"""A folder of images, one sub-folder a class, with or without folders for train, val and test."""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from sota_exp.data.store import data_set, open_or_build
from sota_exp.data.writing import TEST, TRAIN, VAL, Sample, UnreadableImage
from sota_exp.resample import interpolate, shorter_side
from sota_exp.stages import DataSet, InvalidValue, Source, require

EXTENSIONS = frozenset([".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"])
PARTS = {"train": TRAIN, "val": VAL, "valid": VAL, "validation": VAL, "test": TEST}
# Raise it when the same files come to be decoded into other pixels.
DECODING = 1
# Decoded images held at once: 16 of 24 megapixels take a gigabyte.
CHUNK = 16

log = logging.getLogger(__name__)


class Found(NamedTuple):
    """An image file: its class and part by name and number."""

    path: Path
    class_name: str
    split: int


def is_image(name: str) -> bool:
    """Whether a file name is that of an image, and not hidden (macOS leaves `._photo.jpg` beside `photo.jpg`)."""
    return not name.startswith(".") and Path(name).suffix.lower() in EXTENSIONS


def subfolders(folder: Path) -> list[Path]:
    """The visible folders in a folder, by name."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def images_below(folder: Path) -> list[Path]:
    """The image files in a folder and in the visible folders below it, by path."""
    found = []
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]  # such as .ipynb_checkpoints
        found += [Path(parent) / name for name in names if is_image(name)]
    return sorted(found)


def is_divided(root: Path) -> bool:
    """Whether `root` has parts: a `train` that holds folders and no image. With images in it, it is a class of that name."""
    train = root / "train"
    if not train.is_dir():
        return False
    return bool(subfolders(train)) and not any(is_image(path.name) for path in train.iterdir())


def find_images(root: Path) -> list[Found]:
    """Every image under `root`, by part, class and path. Raises `InvalidValue` where there is no data set to see."""
    if not root.is_dir():
        raise InvalidValue("root", root, "a folder of images" if not root.exists() else "a folder, this is a file")
    folders = part_folders(root) if is_divided(root) else {TRAIN: root}
    found = [
        Found(path, folder.name, part)
        for part, place in sorted(folders.items())
        for folder in subfolders(place)
        for path in images_below(folder)
    ]
    check_classes(root, found)
    return found


def part_folders(root: Path) -> dict[int, Path]:
    """Which folder holds which part; says in the log which folders are left aside."""
    folders: dict[int, Path] = {}
    for folder in subfolders(root):
        part = PARTS.get(folder.name)
        if part is None or not subfolders(folder):
            log.warning("%s is left aside: not train, val or test with a folder a class", folder)
        elif part in folders:
            raise InvalidValue("root", root, f"one folder a part, not {folders[part].name} and {folder.name}")
        else:
            folders[part] = folder
    return folders


def check_classes(root: Path, found: list[Found]) -> None:
    """Raise `InvalidValue` unless training images show two classes or more, and the other parts no class besides."""
    names = {image.class_name for image in found if image.split == TRAIN}
    if not found:
        raise InvalidValue(
            "root", root, "a folder with a sub-folder of images for each class; no image was found in one"
        )
    if len(names) < 2:
        only = f"only {', '.join(names)}" if names else "none"
        raise InvalidValue("root", root, f"at least two class folders with training images; {only} was found")
    if strange := {image.class_name for image in found} - names:
        raise InvalidValue("root", root, f"classes that train knows too; it lacks {', '.join(sorted(strange))}")


def listing_key(root: Path, found: list[Found], max_side: int | None) -> str:
    """A hash of what would be decoded: relative paths, sizes and times of change, and how it would be decoded."""
    rows = [(path.relative_to(root).as_posix(), path.stat()) for path in sorted(image.path for image in found)]
    listing = [(path, stat.st_size, stat.st_mtime_ns) for path, stat in rows]
    text = json.dumps([DECODING, max_side, listing])
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def decode(path: Path) -> Tensor:
    """The image in a file, upright, uint8 [3, H, W]; the first one of an animation. Raises `UnreadableImage`.

    By Pillow: torchvision's decoders are deprecated since 0.29, and Pillow too releases the interpreter while it decodes.
    """
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image)
            pixels = np.array(eight_bits(upright).convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UnreadableImage(path, str(error)) from error
    return torch.from_numpy(pixels).permute(2, 0, 1)


def eight_bits(image: Image.Image) -> Image.Image:
    """The image with 8 bits a channel; Pillow itself would clip deeper ones at 255 and leave them white."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"its pixels are of kind {image.mode}, whose range is not known")
    return image


def shrunk(image: Tensor, max_side: int | None) -> Tensor:
    """Uint8 [3, H, W] with its shorter side at most `max_side` pixels, antialiased."""
    height, width = image.shape[1:]
    if max_side is None or min(height, width) <= max_side:
        return image
    batch = image.unsqueeze(0).contiguous(memory_format=torch.channels_last)
    return interpolate(batch, *shorter_side(height, width, max_side)).squeeze(0)


def in_threads(function: Callable[[Found], Sample], images: list[Found]) -> Iterator[Sample]:
    """`function` of every image, in order, with a chunk of them in memory: decoding releases the interpreter."""
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(images), CHUNK):
            yield from pool.map(function, images[start : start + CHUNK])


@dataclass(frozen=True, kw_only=True)
class ImageFolder(Source):
    """`root/<class>/…` or `root/{train,val,test}/<class>/…`; missing parts are cut from train."""

    root: str
    max_side: int | None

    def __post_init__(self) -> None:
        super().__post_init__()
        legal = "pixels, at least 8, or null"
        require(self.max_side is None or self.max_side >= 8, "max_side", self.max_side, legal)

    def __call__(self) -> DataSet:
        root = Path(self.root).expanduser()
        found = find_images(root)
        classes = sorted({image.class_name for image in found})
        key = f"image_folder-{listing_key(root, found, self.max_side)}"
        data = data_set(open_or_build(self.cache, key, classes, lambda: self.samples(found, classes)), self)
        if min(len(data.train), len(data.val), len(data.test)) == 0:
            raise InvalidValue("root", root, f"enough images to train, validate and test; {len(found)} were found")
        return data

    def samples(self, found: list[Found], classes: list[str]) -> Iterator[Sample]:
        """The images, decoded."""
        labels = {name: label for label, name in enumerate(classes)}

        def sample(image: Found) -> Sample:
            pixels = shrunk(decode(image.path), self.max_side)
            return Sample(pixels.permute(1, 2, 0).numpy(), labels[image.class_name], image.split)

        return in_threads(sample, found)
