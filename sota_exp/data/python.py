"""A data set that Python hands in: `sota_exp.train(…, data=my_dataset)`. Its images are kept in the cache.

As long as they are there, later commands find them by their digest; the code that made them is in no file.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from sota_exp.data.image_files import check_splits
from sota_exp.data.memory_image import read_image
from sota_exp.data.store import open_data_set
from sota_exp.data.store_writer import TEST, TRAIN, VAL, Sample, StoreContents, StoreRecorder
from sota_exp.errors import ConfigError
from sota_exp.stages.data import DataSet, DataSource
from sota_exp.stages.handed_in import Digest, get_handed_in, hand_in

PARTS = {"train": TRAIN, "val": VAL, "test": TEST}

REMEDY = "hand it in again, or choose data=image_folder data.root=DIR"

LEGAL = "a Dataset with __len__, of pairs (image, label); or a tuple of two sequences, (images, labels)"

#: A label as it is handed in: the number of a class, or its name.
Label = int | str


@dataclass(frozen=True, kw_only=True)
class PythonData(DataSource):
    """Images and labels of an object of Python, as they were when `digest` was computed."""

    digest: Digest

    def __call__(self) -> DataSet:
        return check_splits(open_data_set(self, f"python-{self.digest}", self.contents), "name", self.name)

    def contents(self) -> StoreContents:
        """The classes and images of the object.

        Raises:
            ConfigError: this process does not have it, or its images are others each time they are read.
        """
        given, classes = get_handed_in(self.digest, "data", self.name, REMEDY)
        return StoreContents(list(classes), self.checked(given, classes))

    def checked(self, given: Any, classes: dict[str, Label]) -> Iterator[Sample]:
        """The images of the object, which are those of the digest.

        Raises:
            ConfigError: they are not.
        """
        recorder, numbers = StoreRecorder(list(classes)), number_labels(classes)
        for item in list_items(given):
            sample = Sample(item.image, numbers.get(item.label, 0), item.part)
            recorder.add(sample)
            yield sample
        if recorder.digest() != self.digest:
            raise ConfigError(
                f"data: {self.name} gives other images each time it is read; hand it in without random transforms"
            )


class Item(NamedTuple):
    """An image, uint8 [H, W, 3], its label as it was handed in, and its part (TRAIN, VAL or TEST)."""

    image: np.ndarray
    label: Label
    part: int


class Paired(Sequence[Any]):
    """Images and labels of two sequences as pairs; what has another order of its own, as of pandas, becomes a list."""

    def __init__(self, images: Any, labels: Any) -> None:
        if len(images) != len(labels):
            raise ConfigError(f"data: {len(images):,} images and {len(labels):,} labels; legal: a label for each")
        self.images = images if isinstance(images, np.ndarray | Tensor) else list(images)
        self.labels = list(labels)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Any) -> Any:
        return self.images[index], self.labels[index]


def hand_in_data(given: Any) -> tuple[str, int]:
    """Keep a data set for `PythonData`; returns its digest, and the shorter side of its first image in pixels.

    given: a Dataset of PyTorch, or any sequence, of (image, label), see `read_image`; or two sequences of equal length,
    (images, labels); or a mapping of train, and perhaps val and test, to such.

    Raises:
        ConfigError: it is no such object.
    """
    digest, classes = digest_and_classes(given)
    hand_in(digest, (given, classes))
    return digest, min(next(list_items(given)).image.shape[:2])


def digest_and_classes(given: Any) -> tuple[str, dict[str, Label]]:
    """Class → the label that means it, after a digest of the classes and of all images, labels and parts.

    Raises:
        ConfigError: a label has no class, or a class no training images.
    """
    recorder, labels, trained = StoreRecorder(()), list[Label](), set[Label]()
    for item in list_items(given):
        recorder.add(Sample(item.image, 0, item.part))
        labels.append(item.label)
        trained |= {item.label} if item.part == TRAIN else set()
    classes = find_classes(given, set(labels))
    if len(trained) < 2 or (strange := set(labels) - trained):
        what = f"no image has the label {next(iter(strange))}" if len(trained) > 1 else "all images have one label"
        raise ConfigError(f"data: {what} in train; legal: at least two classes, and those of val and test among them")
    numbers = number_labels(classes)
    recorder.rows = [(*row[:2], numbers[label], row[3]) for row, label in zip(recorder.rows, labels, strict=True)]
    recorder.classes = list(classes)
    return recorder.digest(), classes


def find_classes(given: Any, labels: set[Label]) -> dict[str, Label]:
    """Class → the label that means it. The attribute `classes` names them in order; else they are the labels, sorted.

    Raises:
        ConfigError: a label has no class, or some labels are numbers and others names.
    """
    names = read_class_names(given)
    are_names = {isinstance(label, str) for label in labels}
    if len(are_names) > 1:
        raise ConfigError("data: some labels are numbers, others names; legal: all numbers, or all names")
    if not names:
        return {str(label): label for label in sorted(labels)}
    classes: dict[str, Label] = {name: name if are_names == {True} else number for number, name in enumerate(names)}
    if strange := sorted(labels - set(classes.values())):
        legal = f"the names {', '.join(names[:6])} …" if are_names == {True} else "labels count from 0"
        raise ConfigError(f"data: a label is {strange[-1]}, but there are {len(names)} classes; {legal}")
    return classes


def number_labels(classes: Mapping[str, Label]) -> dict[Label, int]:
    """Label → the number of its class."""
    return {label: number for number, label in enumerate(classes.values())}


def read_class_names(given: Any) -> list[str]:
    """The attribute `classes` of the data set, or of the one that a Subset is of; [] where there is none."""
    found = list_parts(given)["train"]
    while isinstance(found, Subset):
        found = found.dataset
    return list(map(str, found.classes)) if "classes" in dir(found) else []


def list_parts(given: Any) -> dict[str, Any]:
    """Part → its images and labels.

    Raises:
        ConfigError: a part has another name, or is no sequence.
    """
    parts = dict(given) if isinstance(given, Mapping) else {"train": given}
    if "train" not in parts or parts.keys() - PARTS.keys():
        raise ConfigError(f"data has the parts {', '.join(map(str, parts))}; legal: train, and perhaps val and test")
    return {name: open_part(name, each) for name, each in parts.items()}


def open_part(name: str, given: Any) -> Any:
    """The pairs of a part. name: of the part, for errors.

    Raises:
        ConfigError: it is no sequence, or empty.
    """
    if isinstance(given, DataLoader):
        raise ConfigError("data: a DataLoader; hand in its data set, data=loader.dataset: batches are made here")
    if type(given).__name__ == "DataFrame":
        raise ConfigError("data: a table; hand in two of its columns, data=(table['path'], table['label'])")
    if isinstance(given, str):
        raise ConfigError(f"data: {given!r} is text; files are chosen by words: data=image_folder data.root={given}")
    try:
        if isinstance(given, tuple) and len(given) == 2 and not isinstance(given[0], tuple):
            given = Paired(*given)
        is_empty = len(given) == 0
    except TypeError as error:
        raise ConfigError(f"data: {type(given).__name__} is no data set; legal: {LEGAL}") from error
    if is_empty:
        raise ConfigError(f"data: {name} has no images")
    return given


def list_items(given: Any) -> Iterator[Item]:
    """The images, labels and parts.

    Raises:
        ConfigError: an item is no image with its label.
    """
    for name, part in list_parts(given).items():
        for number in range(len(part)):
            item, place = part[number], f"data: {name}[{number}]"
            if not isinstance(item, tuple | list) or len(item) != 2:
                size = f" of {len(item)}" if isinstance(item, tuple | list) else ""
                raise ConfigError(f"{place} is {type(item).__name__}{size}; legal: {LEGAL}")
            try:
                pixels, label = read_image(item[0]), read_label(item[1])
            except ConfigError as error:
                raise ConfigError(f"{place}: {error}") from error
            yield Item(pixels.permute(1, 2, 0).numpy(), label, PARTS[name])


def read_label(given: Any) -> Label:
    """A label: the name of a class, or a whole number, also of NumPy and PyTorch.

    Raises:
        ConfigError: it is neither.
    """
    try:
        value = np.asarray(given).item()
        label = value if isinstance(value, str) else int(value)
    except (TypeError, ValueError, OverflowError):
        value = label = -1
    if not isinstance(label, str) and (label != value or label < 0):
        raise ConfigError(f"its label is {str(given)[:40]}; legal: a whole number from 0, or the name of a class")
    return label
