"""Writes an image store from a stream of images; it gets its final name only when it is complete and on disk."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sota_exp.errors import RunFailed

STORE_FORMAT = 1
TRAIN, VAL, TEST = 0, 1, 2


class UnreadableImage(RunFailed):
    """An image file that cannot be decoded; the message names it."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} can't be read as an image: {reason}")
        self.path, self.reason = path, reason

    def __reduce__(self) -> tuple[type, tuple[Path, str]]:
        return type(self), (self.path, self.reason)


class Sample(NamedTuple):
    """One image to be stored: uint8 [H, W, 3], its class index, and its split (TRAIN, VAL or TEST)."""

    image: np.ndarray
    label: int
    split: int


class StoreContents(NamedTuple):
    """The contents of a store to be written: the class names and a stream of samples."""

    classes: Sequence[str]
    samples: Iterable[Sample]


def write_store(path: Path, classes: Sequence[str], samples: Iterable[Sample]) -> None:
    """Write a store to a temporary folder, flush it to disk, then rename it to `path`; the caller holds the lock."""
    draft = path.with_name(f".{path.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
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


class StoreRecorder:
    """Collects the index, statistics and digest of a store from a stream of samples."""

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = list(classes)
        self.rows: list[tuple[int, int, int, int]] = []
        self.hash = hashlib.blake2b(digest_size=16)
        self.sums = np.zeros((2, 3), dtype=np.float64)
        self.num_pixels = 0

    def add(self, sample: Sample) -> bytes:
        """Add one sample; returns the bytes of its pixels."""
        image = np.ascontiguousarray(sample.image)
        height, width, _ = image.shape
        self.rows.append((height, width, sample.label, sample.split))
        pixels = image.tobytes()
        self.hash.update(pixels)
        if sample.split == TRAIN:
            # Integers below 2**53: the float64 sums are exact in any order.
            values = image.astype(np.float64)
            self.sums += np.stack([values.sum(0).sum(0), np.square(values).sum(0).sum(0)])
            self.num_pixels += height * width
        return pixels

    def index(self) -> dict[str, Any]:
        height, width, labels, split = np.array(self.rows, dtype=np.int64).reshape(-1, 4).T
        ends = np.cumsum(height * width * 3)
        return {"offset": ends - height * width * 3, "height": height, "width": width, "labels": labels, "split": split}

    def meta(self) -> dict[str, Any]:
        mean, square = self.sums / max(self.num_pixels, 1)
        # At least one grey level, so that images of one colour are not divided by zero.
        std = np.maximum(np.sqrt(np.maximum(square - mean**2, 0)), 1.0)
        return {
            "format": STORE_FORMAT,
            "num_images": len(self.rows),
            "bytes": sum(height * width * 3 for height, width, _, _ in self.rows),
            "classes": self.classes,
            "mean": [float(value) / 255 for value in mean],
            "std": [float(value) / 255 for value in std],
            "digest": self.digest(),
        }

    def digest(self) -> str:
        """A hash of the pixels, sizes, labels, splits and classes, independent of their source."""
        content = self.hash.copy()
        content.update(json.dumps([self.rows, self.classes]).encode())
        return content.hexdigest()
