"""Writing an image store: its images stream by, and it appears under its name only when it is whole and on disk."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sota_exp.errors import RunFailed

FORMAT = 1
TRAIN, VAL, TEST = 0, 1, 2


class UnreadableImage(RunFailed):
    """An image file that can't be decoded; the message names it."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} can't be read as an image: {reason}")
        self.path, self.reason = path, reason

    def __reduce__(self) -> tuple[type, tuple[Path, str]]:
        return type(self), (self.path, self.reason)


class Sample(NamedTuple):
    """One image on its way into a store: uint8 [H, W, 3], its class, and TRAIN, VAL or TEST."""

    image: np.ndarray
    label: int
    split: int


class Contents(NamedTuple):
    """What a store is made of: the names of the classes, and the samples as they stream by."""

    classes: Sequence[str]
    samples: Iterable[Sample]


def write_store(path: Path, classes: Sequence[str], samples: Iterable[Sample]) -> None:
    """Write a store in a folder beside `path` and rename it there, whole and on disk; the caller holds the lock."""
    draft = path.with_name(f".{path.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    try:
        with open(draft / "pixels.u8", "wb") as file:
            tally = Tally(classes)
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
    """Wait until a file or folder is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Tally:
    """What a store records about its images, gathered while they stream by."""

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = list(classes)
        self.rows: list[tuple[int, int, int, int]] = []
        self.hash = hashlib.blake2b(digest_size=16)
        self.sums = np.zeros((2, 3), dtype=np.float64)
        self.num_pixels = 0

    def add(self, sample: Sample) -> bytes:
        """Take in one sample; returns its pixels."""
        image = np.ascontiguousarray(sample.image)
        height, width, _ = image.shape
        self.rows.append((height, width, sample.label, sample.split))
        pixels = image.tobytes()
        self.hash.update(pixels)
        if sample.split == TRAIN:
            # Whole numbers below 2**53: the float64 sums are exact, whatever the order.
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
        # One grey level: a set of flat images must not be divided by zero.
        std = np.maximum(np.sqrt(np.maximum(square - mean**2, 0)), 1.0)
        return {
            "format": FORMAT,
            "num_images": len(self.rows),
            "bytes": sum(height * width * 3 for height, width, _, _ in self.rows),
            "classes": self.classes,
            "mean": [float(value) / 255 for value in mean],
            "std": [float(value) / 255 for value in std],
            "digest": self.digest(),
        }

    def digest(self) -> str:
        """Hash of the pixels, sizes, labels, parts and classes: the content alone, not where it came from."""
        whole = self.hash.copy()
        whole.update(json.dumps([self.rows, self.classes]).encode())
        return whole.hexdigest()
