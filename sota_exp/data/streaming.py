"""Image files that are decoded when they are cut: for sets whose decoded images would take too much room.

What is known of every file before the first cut is read once, in threads, and kept on disk: its size in pixels (upright), and a
hash of its bytes. A JPEG of which a small cut is asked is decoded at a half, a quarter or an eighth of its size, never below
that of the cut: libjpeg leaves out the frequencies that the cut could not show, in a fraction of the time.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from PIL import Image
from torch import Tensor

from sota_exp.data.decode import UNREADABLE, Found, decode, streamed, upright
from sota_exp.data.store import partition
from sota_exp.data.store_writer import UnreadableImage
from sota_exp.runs.atomic import replace_text
from sota_exp.stages.data import DataSet, Preprocessing, Reducible, Source

log = logging.getLogger(__name__)

#: Raise it when the same files come to be decoded into other pixels.
DECODING = 1

#: Images that mean and standard deviation are taken from, evenly spaced over the training part.
SAMPLED = 1000

#: Side in pixels that a sampled image is decoded to, at least.
SAMPLED_SIDE = 64

#: EXIF's tag of the orientation, and its values that exchange height and width.
ORIENTATION, TURNED = 0x0112, (5, 6, 7, 8)

#: Names that end so are JPEGs.
REDUCED = (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo")

#: What JPEG's decoder can reduce an image by, each in less time than the one before.
STEPS = (1, 2, 4, 8)


class StreamedImages(Reducible):
    """Images by index, each decoded anew whenever it is asked for."""

    def __init__(self, paths: Sequence[Path], sizes: np.ndarray) -> None:
        """sizes: int64 [N, 2], height and width of the upright images in pixels."""
        # An array: a list's many objects would be copied by every process that counts references to them.
        self.paths, self._sizes = np.array([str(path) for path in paths]), sizes

    def __len__(self) -> int:
        return len(self.paths)

    def size(self, index: int) -> tuple[int, int]:
        """Height and width in pixels."""
        height, width = self._sizes[index].tolist()
        return height, width

    def sizes(self, indices: Tensor) -> Tensor:
        """As `Images.sizes`."""
        return torch.from_numpy(self._sizes[indices.numpy()])

    def image(self, index: int) -> Tensor:
        """Uint8 [3, H, W] in channels-last strides."""
        return decode(Path(self.paths[index]))

    def step_of(self, index: int, factor: float) -> int:
        """What a JPEG, by its name, is reduced by: 1, 2, 4 or 8; 1 for all others."""
        if not str(self.paths[index]).lower().endswith(REDUCED):
            return 1
        return max(step for step in STEPS if step <= max(factor, 1))

    def reduced(self, index: int, factor: float) -> Tensor:
        """The image at 1/1, 1/2, 1/4 or 1/8 of its size, rounded up; the smallest that is no smaller than 1/`factor`.

        Other formats than JPEG come at their own size.
        """
        path = Path(self.paths[index])
        try:
            with Image.open(path) as image:
                if (step := self.step_of(index, factor)) > 1 and image.format in ("JPEG", "MPO"):
                    width, height = image.size
                    image.draft("RGB", (max(1, width // step), max(1, height // step)))
                return upright(image)
        except UNREADABLE as error:
            raise UnreadableImage(path, str(error)) from error


def facts(path: Path) -> tuple[int, int, str]:
    """Height and width of the upright image, and a hash of the file. Raises `UnreadableImage`."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            # Pillow tells a TIFF's size as it is after turning.
            turned = image.format != "TIFF" and image.getexif().get(ORIENTATION) in TURNED
    except UNREADABLE as error:
        raise UnreadableImage(path, str(error)) from error
    with open(path, "rb") as file:
        content = hashlib.file_digest(file, partial(hashlib.blake2b, digest_size=16)).hexdigest()
    return (width, height, content) if turned else (height, width, content)


def decoded_bytes(found: Sequence[Found], max_side: int | None) -> int:
    """Of all images together, each with its shorter side at most `max_side`; told from the headers of some of them."""
    some = found[:: max(1, len(found) // SAMPLED)]
    total = 0.0
    for image in some:
        try:
            with Image.open(image.path) as opened:
                width, height = opened.size
        except UNREADABLE:
            continue  # the store's builder names it
        total += 3 * width * height * min(1.0, (max_side or np.inf) / min(width, height)) ** 2
    return int(total * len(found) / max(1, len(some)))


def channel_statistics(images: StreamedImages, indices: np.ndarray) -> Preprocessing:
    """Per-channel statistics of up to `SAMPLED` of the images at `indices`, evenly spaced, at a reduced size."""
    sums = np.zeros((2, 3))
    num_pixels = 0
    chosen = indices[:: max(1, len(indices) // SAMPLED)].tolist()
    reduced = partial(_sampled, images)
    for pixels in streamed(reduced, chosen):
        values = pixels.flatten(1).double()
        sums += np.stack([values.sum(1).numpy(), values.square().sum(1).numpy()])
        num_pixels += values.shape[1]
    mean, square = sums / max(1, num_pixels)
    std = np.maximum(np.sqrt(np.maximum(square - mean**2, 0)), 1.0)
    red, green, blue = (mean / 255).tolist()
    spread_red, spread_green, spread_blue = (std / 255).tolist()
    return Preprocessing(mean=(red, green, blue), std=(spread_red, spread_green, spread_blue))


def kept_statistics(images: StreamedImages, indices: np.ndarray, place: Path) -> Preprocessing:
    """`channel_statistics`, decoded once: kept beside the index at `place`."""
    name = hashlib.blake2b(indices.tobytes(), digest_size=8).hexdigest()
    file = place.with_name(f"{place.stem}-{name}.json")
    if not file.is_file():
        found = channel_statistics(images, indices)
        replace_text(file, json.dumps([found.mean, found.std]))
    mean, std = json.loads(file.read_text())
    return Preprocessing(mean=tuple(mean), std=tuple(std))


def _sampled(images: StreamedImages, index: int) -> Tensor:
    return images.reduced(index, min(images.size(index)) / SAMPLED_SIDE)


def index_of(found: Sequence[Found], place: Path) -> tuple[np.ndarray, list[str]]:
    """Sizes int64 [N, 2] and hashes of all files, kept at `place`."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{place}.lock"):
        if not place.is_file():
            log.info("reading the sizes of %d images", len(found))
            rows = list(streamed(facts, [image.path for image in found]))
            replace_text(place, json.dumps(rows))
    rows = json.loads(place.read_text())
    return np.array([row[:2] for row in rows], dtype=np.int64).reshape(-1, 2), [row[2] for row in rows]


def streamed_set(
    source: Source, found: Sequence[Found], classes: Sequence[str], key: str, names: Callable[[str], str]
) -> DataSet:
    """The set of image files that are decoded when they are cut; `key` names the listing in the cache."""
    place = Path(source.cache).expanduser().absolute() / "streams" / f"{key}.json"
    sizes, hashes = index_of(found, place)
    images = StreamedImages([image.path for image in found], sizes)
    numbers = {name: label for label, name in enumerate(classes)}
    labels = np.array([numbers[image.class_name] for image in found])
    train, val, test = partition(np.array([image.split for image in found]), labels, source)
    content = json.dumps([DECODING, hashes, labels.tolist(), [image.split for image in found], list(classes)])
    return DataSet(
        images=images,
        labels=torch.from_numpy(labels),
        train=torch.from_numpy(train),
        val=torch.from_numpy(val),
        test=torch.from_numpy(test),
        classes=tuple(names(name) for name in classes),
        preprocessing=kept_statistics(images, train, place),
        digest=hashlib.blake2b(content.encode(), digest_size=16).hexdigest(),
    )
