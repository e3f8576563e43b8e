"""An image store: images decoded once into one memory-mapped file, each at its own size, shared by all processes.

A store is a folder: `pixels.u8` (height × width × channel bytes, image after image), `index.npz` (offset, size, label,
split, sums of pixels and digest of each image) and `meta.json` (classes, digest of all).
"""

import functools
import hashlib
import json
import logging
import os
import warnings
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from sota_exp.config.data_paths import expand_home
from sota_exp.data import splits
from sota_exp.data.decode import WHITE_BY_FILE, WHITE_BY_KEY, describe_remark, read_white
from sota_exp.data.near_duplicates import CACHE_NAME, keep_together
from sota_exp.data.normalization import choose_images, compute_statistics
from sota_exp.data.split.folds import unite_groups
from sota_exp.data.store_writer import STORE_FORMAT, TEST, TRAIN, VAL, StoreContents, write_store
from sota_exp.stages.data import DataSet, DataSource, Images
from sota_exp.stages.stage import require

log = logging.getLogger(__name__)


class DamagedStore(Exception):
    """The files of a store are incomplete, contradict its `meta.json`, or have another version's format."""


class ImageStore(Images):
    """An open store. Its images are views of the file, without a copy; they must not be modified."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.meta: dict[str, Any] = json.loads((path / "meta.json").read_text())
        if self.meta["format"] != STORE_FORMAT:
            raise DamagedStore(f"another version of sota-exp wrote it, in format {self.meta['format']}")
        with np.load(path / "index.npz") as index:
            self.offset, self.height, self.width = index["offset"], index["height"], index["width"]
            self.labels, self.split = index["labels"], index["split"]
            self.sums, self.digests = index["sums"], index["digests"]
        self._check()
        self._pixels = _map_bytes(path / "pixels.u8")
        self.shape = self._common_shape()

    def _check(self) -> None:
        found = os.path.getsize(self.path / "pixels.u8")
        sizes = self.height.astype(np.int64) * self.width * 3
        if found != self.meta["bytes"] or found != sizes.sum():
            raise DamagedStore(f"pixels.u8 has {found} bytes, not {self.meta['bytes']}")
        if len({self.meta["num_images"], *map(len, (self.offset, self.labels, self.split))}) != 1:
            raise DamagedStore(f"index.npz doesn't hold {self.meta['num_images']} images")

    def _common_shape(self) -> tuple[int, int] | None:
        """The (height, width) of all images, where these are equal and stored contiguously in order; else None."""
        if not len(self):
            return None
        height, width = self.size(0)
        in_order = np.arange(len(self)) * (3 * height * width)
        same = (self.height == height).all() and (self.width == width).all() and (self.offset == in_order).all()
        return (height, width) if same else None

    def stack(self, indices: Tensor) -> Tensor:
        if self.shape is None:
            return super().stack(indices)
        return self._pixels.view(len(self), -1).index_select(0, indices).view(-1, *self.shape, 3)

    def find_changed(self, indices: Tensor, digests: Tensor, since: float) -> list[int]:
        file = self.path / "pixels.u8"
        if file.stat().st_ctime <= since or self.compute_digest() == self.meta["digest"]:
            return []
        picked: list[int] = indices.tolist()
        return picked

    def compute_digest(self) -> str:
        """The digest that `meta.json` should have: of pixels, sizes, labels, splits and classes, as they are now."""
        with open(self.path / "pixels.u8", "rb") as file:
            content = hashlib.file_digest(file, partial(hashlib.blake2b, digest_size=16))
        columns = (self.height, self.width, self.labels, self.split)
        rows = list(zip(*(column.tolist() for column in columns), strict=True))
        content.update(json.dumps([rows, self.meta["classes"]]).encode())
        return content.hexdigest()

    def __reduce__(self) -> tuple[Callable[[Path], "ImageStore"], tuple[Path]]:
        return open_store, (self.path,)

    def __len__(self) -> int:
        return len(self.labels)

    def size(self, index: int) -> tuple[int, int]:
        return int(self.height[index]), int(self.width[index])

    def image(self, index: int) -> Tensor:
        height, width = self.size(index)
        # One call instead of slice, view and permute: the time of a small crop is mostly such calls.
        return self._pixels.as_strided((3, height, width), (1, 3 * width, 3), int(self.offset[index]))

    def sizes(self, indices: Tensor) -> Tensor:
        if self.shape is not None:
            return torch.tensor(self.shape).expand(len(indices), 2)
        picked = indices.numpy()
        return torch.from_numpy(np.stack([self.height[picked], self.width[picked]], axis=1).astype(np.int64))

    def cut_boxes(self, indices: Tensor, boxes: Tensor) -> list[Tensor]:
        picked, (top, left, height, width) = indices.numpy(), boxes.numpy().T
        sides = self.height[picked], self.width[picked]
        assert (top + height <= sides[0]).all() and (left + width <= sides[1]).all()
        row = 3 * sides[1].astype(np.int64)
        starts = self.offset[picked] + top * row + 3 * left
        places = zip(height.tolist(), width.tolist(), row.tolist(), starts.tolist(), strict=True)
        return [self._pixels.as_strided((1, 3, h, w), (h * line, 1, line, 3), start) for h, w, line, start in places]


def _map_bytes(path: Path) -> Tensor:
    """Uint8 [bytes of the file], mapped read-only: large writable maps count against memory limits and are refused."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(np.memmap(path, np.uint8, mode="r"))


@functools.lru_cache(maxsize=16)
def _open_once(path: Path, state: tuple[int, int]) -> ImageStore:
    return ImageStore(path)


def open_store(path: Path) -> ImageStore:
    """The store at `path`: one object per process until its files change.

    Raises:
        FileNotFoundError: there is no store.
        DamagedStore: its files are incomplete or contradictory.
    """
    path.stat()
    try:
        state = (path / "meta.json").stat().st_mtime_ns, (path / "pixels.u8").stat().st_size
        return _open_once(path, state)
    except FileNotFoundError as error:
        raise DamagedStore(f"{Path(error.filename).name} is missing") from error
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DamagedStore(str(error)) from error


def open_or_build_store(cache: str, key: str, build: Callable[[], StoreContents]) -> ImageStore:
    """The store `key` in the folder `cache`, built where it does not exist, by one process at a time.

    build: returns the classes and an iterator of images, which are not all in memory at once.
    """
    path = expand_home(cache).absolute() / "stores" / key
    try:
        return open_store(path)  # without the lock: a cache may be read-only
    except (FileNotFoundError, DamagedStore):
        path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.parent / f"{key}.lock"):
        try:
            return open_store(path)
        except FileNotFoundError:
            log.info("building the image store %s", path)
        except DamagedStore as error:
            log.warning("the image store %s is damaged or outdated (%s): building it again", path, error)
        write_store(path, *build())
    return open_store(path)


def assign_splits(
    given: np.ndarray, labels: np.ndarray, source: DataSource, digests: np.ndarray, groups: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(train, val, test) as int64 indices, as `source.split` says. Missing splits are taken from train.

    given, labels, digests, groups: of every image [N]. Images of a group, and those of equal digest, are kept together,
    where `source.split` keeps groups. Where the fraction of a missing split is None, nothing is taken, and val and test
    are the same images.

    Raises:
        InvalidValue: there is neither val nor test, and both fractions are None; or the images cannot be split so.
    """
    together = digests if groups is None else unite_groups(groups, digests)
    split = source.split(given, labels, together, source)
    if moved := int(np.count_nonzero((given != TRAIN) & (split != given))):
        words = "data/split: %d of the %d images of the set's own val and test are in other parts now; "
        log.warning(words + "data/split=holdout keeps them", moved, np.count_nonzero(given != TRAIN))
    train, val, test = (np.flatnonzero(split == part) for part in (TRAIN, VAL, TEST))
    num = len(train)
    if len(test) == 0 and source.test_fraction is not None:
        train, test = splits.split_off(train, labels, splits.round_share(source.test_fraction, num), source.split_seed)
    if len(val) == 0 and source.val_fraction is not None:
        train, val = splits.split_off(train, labels, splits.round_share(source.val_fraction, num), source.split_seed)
    if source.val_fraction is None and source.test_fraction is None:
        legal = "a fraction, unless data.test_fraction is one: the data set has neither a val nor a test split"
        require(len(val) + len(test) > 0, "val_fraction", "null", legal)
    return train, val if len(val) else test, test if len(test) else val


def warn_of_cut_groups(source: DataSource, groups: np.ndarray | None, parts: Sequence[np.ndarray]) -> None:
    """Say how many groups have images in train and elsewhere. groups: of every image. parts: train first, indices."""
    if groups is None or source.split.keeps_groups:
        return
    train, *others = (np.unique(groups[part]) for part in parts)
    if num := len(np.intersect1d(train, np.concatenate(others))):
        words = "%d groups have images in train and in val or test, which makes scores too good; "
        log.warning(words + "data/split=cross_validation and data/split=repeated keep groups together", num)


def use_given_splits(data: DataSet, split: np.ndarray) -> DataSet:
    """The data set with these splits alone, of which some may be empty. split: of every image, [N]."""
    train, val, test = (torch.from_numpy(np.flatnonzero(split == part)) for part in (TRAIN, VAL, TEST))
    return replace(data, train=train, val=val, test=test)


def open_data_set(
    source: DataSource,
    key: str,
    build: Callable[[], StoreContents],
    name_image: Callable[[int], str] = "image {}".format,
    groups: np.ndarray | None = None,
) -> DataSet:
    """The data set of `open_or_build_store`; missing splits are taken from train, as `source` says.

    name_image: names an image by its index, for the warnings about how images were read. groups: of every image, int64
    [N].
    """
    store = open_or_build_store(source.cache, key, build)
    for remark, found in store.meta.get("remarks", {}).items():
        remedy = WHITE_BY_KEY if "white" in vars(source) else WHITE_BY_FILE
        if text := describe_remark(remark, found["num"], len(store), name_image(found["first"]), remedy):
            log.warning("%s", text)
    if source.split.near_duplicates:
        groups = keep_together(groups, len(store), store.image, store.path / CACHE_NAME, name_image)
    train, val, test = assign_splits(store.split, store.labels, source, store.digests, groups)
    warn_of_cut_groups(source, groups, (train, val, test))
    chosen = choose_images(train, store.labels)
    num_pixels = int((store.height[chosen] * store.width[chosen]).sum())
    return DataSet(
        images=store,
        labels=torch.from_numpy(store.labels),
        train=torch.from_numpy(train),
        val=torch.from_numpy(val),
        test=torch.from_numpy(test),
        classes=tuple(store.meta["classes"]),
        preprocessing=compute_statistics(store.sums[chosen].sum(0), num_pixels),
        digest=store.meta["digest"],
        image_digests=torch.from_numpy(store.digests),
        white=vars(source).get("white") or read_white(store.meta.get("remarks", {})),
        groups=None if groups is None else torch.from_numpy(groups),
    )
