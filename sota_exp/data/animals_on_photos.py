"""Silhouettes of ten animals on photographs: a semi-synthetic data set from installed packages, without a download."""

import gzip
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sota_exp.data.composite import ShapesOnPhotos, drop_duplicates, package_folder
from sota_exp.stages.data import DataSet

CLASSES = ("bear", "bird", "cat", "cow", "dog", "elephant", "giraffe", "horse", "sheep", "zebra")
NUM_TEST = 1600

_RECONSTRUCT = np.empty(0).__reduce__()[0]
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class ArrayUnpickler(pickle.Unpickler):
    """Reads pickled NumPy arrays and nothing else, so that a pickle from a package cannot run code."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} is not part of an array") from None


def load_array(path: Path) -> np.ndarray:
    """The array in a gzip-compressed pickle."""
    with gzip.open(path) as file:
        return ArrayUnpickler(file).load()


def load_silhouettes() -> tuple[np.ndarray, np.ndarray]:
    """The distinct silhouettes, uint8 [9716, 28, 28], and labels, int64 [9716]; the package has 284 duplicates more."""
    folder = package_folder("animal_shape_mnist") / "data" / "Animal Shape"
    return drop_duplicates(
        load_array(folder / "animal_data_version_3.gz"), load_array(folder / "animal_label_version_3.gz")
    )


@dataclass(frozen=True, kw_only=True)
class AnimalsOnPhotos(ShapesOnPhotos):
    def __call__(self) -> DataSet:
        return self.open_shapes_data_set("animals_on_photos", CLASSES, NUM_TEST, load_silhouettes)
