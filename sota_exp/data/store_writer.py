"""Writes an image store from a stream of images; it gets its final name only when it is complete and on disk."""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock, Timeout

from sota_exp.data.members import Member, open_bytes
from sota_exp.data.normalization import sum_pixels
from sota_exp.errors import RunFailed
from sota_exp.runs.atomic import DEAD_AFTER

STORE_FORMAT = 2
TRAIN, VAL, TEST = 0, 1, 2


class UnreadableImage(RunFailed):
    """An image file that cannot be decoded; the message names it."""

    def __init__(self, path: Path | Member, reason: str) -> None:
        super().__init__(f"{path} can't be read as an image: {reason}")
        self.path, self.reason = path, reason

    def __reduce__(self) -> tuple[type, tuple[Path | Member, str]]:
        return type(self), (self.path, self.reason)


class Sample(NamedTuple):
    """One image to be stored: uint8 [H, W, 3], its class index, and its split (TRAIN, VAL or TEST).

    digest: of the image as it was before it was reduced, such as of its file; None: that of the pixels. remarks: see
    `decode.Decoded`.
    """

    image: np.ndarray
    label: int
    split: int
    digest: int | None = None
    remarks: tuple[str, ...] = ()


class StoreContents(NamedTuple):
    """The contents of a store to be written: the class names and a stream of samples."""

    classes: Sequence[str]
    samples: Iterable[Sample]


def find_dead_drafts(folder: Path) -> list[Path]:
    """Folders among the stores that killed processes left: nobody holds their lock, and nothing changes in them."""
    return [draft for draft in folder.glob(".*.draft") if _is_dead(draft)]


def _is_dead(draft: Path) -> bool:
    lock = draft.with_name(f"{draft.name.removeprefix('.').removesuffix('.draft')}.lock")
    try:
        newest = max(path.stat().st_mtime for path in (draft, *draft.iterdir()))
        if time.time() - newest < DEAD_AFTER:
            return False
        with FileLock(lock, timeout=0):
            return True
    except (OSError, Timeout):
        return False


def write_store(path: Path, classes: Sequence[str], samples: Iterable[Sample]) -> None:
    """Write a store to a temporary folder, flush it to disk, then rename it to `path`; the caller holds the lock."""
    draft = path.with_name(f".{path.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    for left in find_dead_drafts(path.parent):
        shutil.rmtree(left, ignore_errors=True)
    draft.mkdir()
    try:
        with open(draft / "pixels.u8", "wb") as file:
            tally = StoreRecorder(classes)
            file.writelines(tally.add(sample) for sample in samples)
        with open(draft / "index.npz", "wb") as file:
            np.savez(file, **tally.index())
        (draft / "meta.json").write_text(json.dumps(tally.meta(), indent=1))
        for entry in (*draft.iterdir(), draft):
            _flush(entry)
        shutil.rmtree(path, ignore_errors=True)
        draft.rename(path)
        _flush(path.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _flush(path: Path) -> None:
    """Flush a file or folder to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def hash_file(path: Path | Member) -> str:
    """A hexadecimal digest of the content of a file."""
    with open_bytes(path) as file:
        return hashlib.file_digest(file, partial(hashlib.blake2b, digest_size=16)).hexdigest()


def hash_pixels(image: np.ndarray) -> int:
    """A digest of 63 bits of an image, uint8 [H, W, 3]."""
    content = hashlib.blake2b(str(image.shape).encode(), digest_size=8)
    content.update(image.tobytes())
    return shorten_digest(content.hexdigest())


def shorten_digest(digest: str) -> int:
    """The first 63 bits of a hexadecimal digest."""
    return int(digest[:16], 16) >> 1


class StoreRecorder:
    """Collects the index and digest of a store, and the sums and digests of its images, from a stream of samples."""

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = list(classes)
        self.rows: list[tuple[int, int, int, int]] = []
        self.hash = hashlib.blake2b(digest_size=16)
        self.sums: list[np.ndarray] = []
        self.digests: list[int] = []
        self.remarks: dict[str, list[int]] = {}

    def add(self, sample: Sample) -> bytes:
        """Add one sample; returns the bytes of its pixels."""
        image = np.ascontiguousarray(sample.image)
        height, width, _ = image.shape
        for remark in sample.remarks:
            self.remarks.setdefault(remark, []).append(len(self.rows))
        self.rows.append((height, width, sample.label, sample.split))
        pixels = image.tobytes()
        self.hash.update(pixels)
        self.sums.append(sum_pixels(image))
        self.digests.append(hash_pixels(image) if sample.digest is None else sample.digest)
        return pixels

    def index(self) -> dict[str, Any]:
        height, width, labels, split = np.array(self.rows, dtype=np.int64).reshape(-1, 4).T
        ends = np.cumsum(height * width * 3)
        return {
            "offset": ends - height * width * 3,
            "height": height,
            "width": width,
            "labels": labels,
            "split": split,
            "sums": np.array(self.sums, dtype=np.int64).reshape(-1, 2, 3),
            "digests": np.array(self.digests, dtype=np.int64),
        }

    def meta(self) -> dict[str, Any]:
        return {
            "format": STORE_FORMAT,
            "num_images": len(self.rows),
            "bytes": sum(height * width * 3 for height, width, _, _ in self.rows),
            "classes": self.classes,
            "digest": self.digest(),
            "remarks": {name: {"num": len(those), "first": those[0]} for name, those in self.remarks.items()},
        }

    def digest(self) -> str:
        """A hash of the pixels, sizes, labels, splits and classes, independent of their source."""
        content = self.hash.copy()
        content.update(json.dumps([self.rows, self.classes]).encode())
        return content.hexdigest()
