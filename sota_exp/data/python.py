"""A data set that Python hands in: `sota_exp.train(…, data=my_dataset)`. Its images are kept in the cache.

As long as they are there, later commands find them by their digest; the code that made them is in no file.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch.utils.data import Subset

from sota_exp.data.memory_image import read_image
from sota_exp.data.store import open_data_set
from sota_exp.data.store_writer import TEST, TRAIN, VAL, Sample, StoreContents, StoreRecorder
from sota_exp.errors import ConfigError
from sota_exp.stages.data import DataSet, DataSource
from sota_exp.stages.handed_in import Digest, get_handed_in, hand_in

PARTS = {"train": TRAIN, "val": VAL, "test": TEST}

REMEDY = "hand it in again, or choose data=image_folder data.root=DIR"


@dataclass(frozen=True, kw_only=True)
class PythonData(DataSource):
    """Images and labels of an object of Python, as they were when `digest` was computed."""

    digest: Digest

    def __call__(self) -> DataSet:
        return open_data_set(self, f"python-{self.digest}", self.contents)

    def contents(self) -> StoreContents:
        """The classes and images of the object.

        Raises:
            ConfigError: this process does not have it, or its images are others each time they are read.
        """
        given, classes = get_handed_in(self.digest, "data", self.name, REMEDY)
        return StoreContents(classes, self.checked(given, classes))

    def checked(self, given: Any, classes: list[str]) -> Iterator[Sample]:
        """The images of the object, which are those of the digest.

        Raises:
            ConfigError: they are not.
        """
        recorder = StoreRecorder(classes)
        for sample in list_samples(given):
            recorder.add(sample)
            yield sample
        if recorder.digest() != self.digest:
            raise ConfigError(
                f"data: {self.name} gives other images each time it is read; hand it in without random transforms"
            )


def hand_in_data(given: Any) -> tuple[str, int]:
    """Keep a data set for `PythonData`; returns its digest, and the shorter side of its first image in pixels.

    given: a Dataset of PyTorch, or any sequence, of (image, label), see `read_image`, labels from 0; or a mapping of
    train, and perhaps val and test, to such.

    Raises:
        ConfigError: it is no such object.
    """
    digest, classes = digest_and_classes(given)
    hand_in(digest, (given, classes))
    return digest, min(next(list_samples(given)).image.shape[:2])


def digest_and_classes(given: Any) -> tuple[str, list[str]]:
    """The names of the classes, by default their numbers, after a digest of them and of all images, labels and parts.

    Raises:
        ConfigError: a label has no class.
    """
    recorder, classes = StoreRecorder(()), name_classes(given)
    for sample in list_samples(given):
        recorder.add(sample)
    most = max(label for _, _, label, _ in recorder.rows)
    if classes and most >= len(classes):
        raise ConfigError(f"data: a label is {most}, but there are {len(classes)} classes; labels count from 0")
    recorder.classes = classes or list(map(str, range(most + 1)))
    return recorder.digest(), recorder.classes


def name_classes(given: Any) -> list[str]:
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
    for name, each in parts.items():
        try:
            is_empty = len(each) == 0
        except TypeError as error:
            raise ConfigError(f"data: {type(each).__name__} has no length; legal: a Dataset with __len__") from error
        if is_empty:
            raise ConfigError(f"data: {name} has no images")
    return parts


def list_samples(given: Any) -> Iterator[Sample]:
    """The images, labels and parts.

    Raises:
        ConfigError: an item is no image with its label.
    """
    for name, part in list_parts(given).items():
        for number in range(len(part)):
            item, place = part[number], f"data: {name}[{number}]"
            if not isinstance(item, tuple | list) or len(item) != 2:
                raise ConfigError(f"{place} is {type(item).__name__}; legal: a pair of an image and its label")
            try:
                pixels, label = read_image(item[0]), int(item[1])
            except (ConfigError, TypeError, ValueError) as error:
                raise ConfigError(f"{place}: {error}") from error
            if label < 0:
                raise ConfigError(f"{place} has the label {label}; legal: whole numbers from 0")
            yield Sample(pixels.permute(1, 2, 0).numpy(), label, PARTS[name])
