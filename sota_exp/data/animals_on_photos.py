"""Silhouettes of ten animals on photographs: the embedded, semi-synthetic set that needs no download."""

import gzip
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sota_exp.data.composite import OnPhotos, distinct, package_folder
from sota_exp.stages.data import DataSet

CLASSES = ("bear", "bird", "cat", "cow", "dog", "elephant", "giraffe", "horse", "sheep", "zebra")
NUM_TEST = 1600

_RECONSTRUCT = np.empty(0).__reduce__()[0]
_ADMITTED = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class ArrayUnpickler(pickle.Unpickler):
    """Reads pickled NumPy arrays and refuses everything else: a pickle from a package index must not run code."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} is not part of an array") from None


def load_array(path: Path) -> np.ndarray:
    """The array in a gzipped pickle."""
    with gzip.open(path) as file:
        return ArrayUnpickler(file).load()


def silhouettes() -> tuple[np.ndarray, np.ndarray]:
    """The distinct silhouettes, uint8 [9716, 28, 28], and their labels, int64 [9716]; 284 of the package's are copies."""
    folder = package_folder("animal_shape_mnist") / "data" / "Animal Shape"
    return distinct(load_array(folder / "animal_data_version_3.gz"), load_array(folder / "animal_label_version_3.gz"))


@dataclass(frozen=True, kw_only=True)
class AnimalsOnPhotos(OnPhotos):
    """Ten animals on photographs; test shapes and test backgrounds appear in no training image."""

    def __call__(self) -> DataSet:
        return self.opened("animals_on_photos", CLASSES, NUM_TEST, silhouettes)
