"""A stand-in for the package `datasets`: as much of it as `data=huggingface` uses, with the shapes of the real one.

A set is a dict of parts; a part has `features` (column → kind), rows, columns and a length.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image as Picture


class Image:
    """The kind of a column of images."""


@dataclass
class Value:
    """The kind of a column of texts or numbers."""

    dtype: str


@dataclass
class ClassLabel:
    """The kind of a column of class numbers."""

    names: list[str]


class Column:
    """A column, read as it is asked for."""

    def __init__(self, values: list[Any]) -> None:
        self.values = values

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values)

    def __len__(self) -> int:
        return len(self.values)


@dataclass
class Dataset:
    """One part of a set."""

    features: dict[str, Any]
    columns: dict[str, list[Any]]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, key: int | str) -> Any:
        if isinstance(key, str):
            return Column(self.columns[key])
        return {name: values[key] for name, values in self.columns.items()}

    def select_columns(self, names: list[str]) -> "Dataset":
        return Dataset({name: self.features[name] for name in names}, {name: self.columns[name] for name in names})


def picture(seed: int, label: int) -> Picture.Image:
    noise = np.random.default_rng(seed).integers(64, size=(20, 24, 3))
    return Picture.fromarray((noise + 40 * label).astype(np.uint8))


def part(labels: list[Any], kind: Any, seed: int = 0, image: str = "image", label: str = "label") -> Dataset:
    """A part with an image, a label and a text a row."""
    pictures = [picture(seed + index, index % 4) for index in range(len(labels))]
    features = {image: Image(), label: kind, "note": Value("string")}
    return Dataset(features, {image: pictures, label: labels, "note": ["text"] * len(labels)})


def module(load_dataset: Callable[..., dict[str, Dataset]]) -> ModuleType:
    """The package, whose sets come from `load_dataset`."""
    made = ModuleType("datasets")
    vars(made).update(Image=Image, ClassLabel=ClassLabel, Value=Value, load_dataset=load_dataset)
    return made
