"""Image files that are decoded for every crop: for data sets whose decoded images would take too much disk space.

The size in pixels (upright) and a hash of every file are read once, in threads, and cached on disk. For a small crop, a
JPEG is decoded at 1/2, 1/4 or 1/8 of its size, never below that of the crop: libjpeg then skips the high frequencies,
which takes a fraction of the time.
"""

import copy
import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from sota_exp.config.data_paths import expand_home
from sota_exp.data.decode import (
    DECODE_ERRORS,
    STREAM_DIGEST,
    WHITE_BY_KEY,
    ImageFile,
    choose_step,
    decode_image,
    describe_reading,
    describe_remark,
    find_depth_remarks,
    make_unreadable,
    read_white,
)
from sota_exp.data.deep_pixels import SIXTEEN_BITS, find_set_white
from sota_exp.data.normalization import choose_images, compute_statistics, sum_pixels
from sota_exp.data.open_image import open_image
from sota_exp.data.read_files import map_in_threads, read_all
from sota_exp.data.store import assign_splits
from sota_exp.data.store_writer import hash_file, shorten_digest
from sota_exp.runs.atomic import write_recomputable_text
from sota_exp.stages.data import DataSet, DataSource, Images, Preprocessing

log = logging.getLogger(__name__)

#: Number of images, evenly spaced, by whose headers the size of all is estimated.
NUM_SAMPLED = 1000

#: EXIF tag of the orientation, and its values that exchange height and width.
ORIENTATION, TURNED = 0x0112, (5, 6, 7, 8)

#: File name extensions of JPEGs.
JPEG_EXTENSIONS = (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo")


class StreamedImages(Images):
    """Images by index, decoded at every access; at a reduced size where that suffices, which is cheaper."""

    def __init__(self, paths: Sequence[Path], sizes: np.ndarray, white: int | None = None) -> None:
        """sizes: int64 [N, 2], height and width of the upright images in pixels. white: as for `decode_file`."""
        # An array: reference counts of a list's objects would make every worker process copy their memory pages.
        self.paths, self._sizes = np.array([str(path) for path in paths]), sizes
        self._decode: Callable[[Path, int], Tensor] = partial(decode_image, white=white)
        self.white = white

    def __len__(self) -> int:
        return len(self.paths)

    def size(self, index: int) -> tuple[int, int]:
        height, width = self._sizes[index].tolist()
        return height, width

    def sizes(self, indices: Tensor) -> Tensor:
        return torch.from_numpy(self._sizes[indices.numpy()])

    def image(self, index: int) -> Tensor:
        return self.read_reduced(index, 1.0)

    def step_of(self, index: int, factor: float) -> int:
        """The factor 1, 2, 4 or 8 by which a JPEG (by its file name) is reduced; 1 for other formats."""
        if not str(self.paths[index]).lower().endswith(JPEG_EXTENSIONS):
            return 1
        return choose_step(factor)

    def read_reduced(self, index: int, factor: float) -> Tensor:
        """The whole image at 1/1, 1/2, 1/4 or 1/8 of its size, at least 1/`factor`, rounded up: uint8 [3, h, w]."""
        return self._decode(Path(self.paths[index]), self.step_of(index, factor))

    def find_changed(self, indices: Tensor, digests: Tensor, since: float) -> list[int]:
        def is_changed(index: int) -> bool:
            path = Path(self.paths[index])
            return path.stat().st_ctime > since and shorten_digest(hash_file(path)) != int(digests[index])

        picked = indices.tolist()
        return [index for index, changed in zip(picked, map_in_threads(is_changed, picked), strict=True) if changed]

    def keep_decoded(self) -> "StreamedImages":
        """The same images, each decoded once and then kept in memory, for repeated reads of a few of them."""
        kept = copy.copy(self)
        kept._decode = cache(partial(decode_image, white=self.white))
        return kept


def read_file_facts(path: Path) -> tuple[int, int, str, tuple[str, ...], int | None]:
    """Height and width of the upright image in pixels, a hash of the file with how its pixels are read, remarks and
    `Reading.peak`.

    Raises:
        UnreadableImage: the header of the file cannot be read.
    """
    try:
        with open_image(path) as image:
            width, height = image.size
            reading, remarks, peak = describe_reading(image)  # first: reading the EXIF data of a PNG decodes it
            # Pillow gives the size of a TIFF after its rotation.
            turned = image.format != "TIFF" and image.getexif().get(ORIENTATION) in TURNED
    except DECODE_ERRORS as error:
        raise make_unreadable(path, error) from error
    content = hash_file(path) + reading  # images with such a text were read as other pixels before
    height, width = (width, height) if turned else (height, width)
    return height, width, content, remarks, peak


def estimate_decoded_bytes(found: Sequence[ImageFile], max_side: int | None) -> int:
    """Estimated bytes of all decoded images, their shorter side at most `max_side`, from the headers of some."""
    some = found[:: max(1, len(found) // NUM_SAMPLED)]
    total = 0.0
    for image in some:
        try:
            with open_image(image.path) as opened:
                width, height = opened.size
        except DECODE_ERRORS:
            continue  # reported when the image is decoded
        total += 3 * width * height * min(1.0, (max_side or np.inf) / min(width, height)) ** 2
    return int(total * len(found) / max(1, len(some)))


def load_or_compute_statistics(
    chosen: Sequence[Path], index_path: Path, read_stored: Callable[[Path], np.ndarray]
) -> Preprocessing:
    """Mean and standard deviation of the images `chosen`, cached in a file beside the index.

    read_stored: file → pixels as in a store, uint8 [H, W, 3].
    """
    name = hashlib.blake2b("\n".join(map(str, chosen)).encode(), digest_size=8).hexdigest()
    file = index_path.with_name(f"{index_path.stem}-mean-std-{name}.json")
    if not file.is_file():
        log.info("computing mean and standard deviation from %d training images", len(chosen))
        sums, num_pixels = np.zeros((2, 3), dtype=np.int64), 0
        for image in read_all(read_stored, chosen):
            sums += sum_pixels(image)
            num_pixels += image.shape[0] * image.shape[1]
        statistics = compute_statistics(sums, num_pixels)
        write_recomputable_text(file, json.dumps([statistics.mean, statistics.std]))
    mean, std = json.loads(file.read_text())
    return Preprocessing(mean=tuple(mean), std=tuple(std))


def load_or_build_index(
    found: Sequence[ImageFile], path: Path, white: int | None
) -> tuple[np.ndarray, list[str], dict[str, list[int]]]:
    """Height and width, int64 [N, 2], hashes of all files, and remark → the positions of the files it is true of.

    Cached in the file `path`. white: as the field of `FileSource`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if not path.is_file():
            log.info("reading the sizes of %d images", len(found))
            rows = list(read_all(read_file_facts, [image.path for image in found]))
            write_recomputable_text(path, json.dumps(rows))
    rows = json.loads(path.read_text())
    sizes = np.array([row[:2] for row in rows], dtype=np.int64).reshape(-1, 2)
    positions: dict[str, list[int]] = {}
    used = white or find_set_white(row[4] for row in rows)
    is_reduced = used is not None and used < SIXTEEN_BITS
    for position, row in enumerate(rows):
        for remark in (*row[3], *find_depth_remarks(row[4] if white is None else None, used)):
            positions.setdefault(remark, []).append(position)
    hashes = [f"{row[2]}-{used}" if row[4] is not None and is_reduced else row[2] for row in rows]
    return sizes, hashes, positions


def open_streamed_data_set(
    source: DataSource,
    white: int | None,
    found: Sequence[ImageFile],
    classes: Sequence[str],
    key: str,
    names: Callable[[str], str],
    read_stored: Callable[..., np.ndarray],
    image_names: Sequence[str],
) -> DataSet:
    """The data set of image files that are decoded for every crop.

    key: name of the index in the cache. names: class name in the files → name to show. read_stored: file, white →
    pixels as in a store, uint8 [H, W, 3], of which mean and standard deviation are computed. white: as in the source.
    image_names: for the warnings about how images are read.
    """
    index_path = expand_home(source.cache).absolute() / "streams" / f"{key}.json"
    sizes, hashes, positions = load_or_build_index(found, index_path, white)
    used = white or read_white(positions)
    for remark, those in positions.items():
        if text := describe_remark(remark, len(those), len(found), image_names[those[0]], WHITE_BY_KEY):
            log.warning("%s", text)
    images = StreamedImages([image.path for image in found], sizes, used)
    label_by_name = {name: label for label, name in enumerate(classes)}
    labels = np.array([label_by_name[image.class_name] for image in found])
    train, val, test = assign_splits(np.array([image.split for image in found]), labels, source)
    content = json.dumps([STREAM_DIGEST, hashes, labels.tolist(), [image.split for image in found], list(classes)])
    return DataSet(
        images=images,
        labels=torch.from_numpy(labels),
        train=torch.from_numpy(train),
        val=torch.from_numpy(val),
        test=torch.from_numpy(test),
        classes=tuple(names(name) for name in classes),
        preprocessing=load_or_compute_statistics(
            [found[index].path for index in choose_images(train, labels)], index_path, partial(read_stored, white=used)
        ),
        image_digests=torch.tensor([shorten_digest(digest) for digest in hashes]),
        digest=hashlib.blake2b(content.encode(), digest_size=16).hexdigest(),
        white=used,
    )
