"""Data sets of the Hugging Face Hub by name, read with the package `datasets` (extra `huggingface`)."""

import errno
import hashlib
import importlib
import itertools
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from sota_exp.config.data_paths import expand_home
from sota_exp.config.printable import make_printable
from sota_exp.data.decode import DECODING
from sota_exp.data.folders import SPLIT_COLUMN, SPLIT_NAMES, find_split
from sota_exp.data.image_files import check_splits, decode_split
from sota_exp.data.store import ImageStore, open_data_set, use_given_splits
from sota_exp.data.store_writer import TEST, TRAIN, VAL, Sample, StoreContents
from sota_exp.errors import ConfigError, RunFailed
from sota_exp.stages.data import DataSet, DataSource
from sota_exp.stages.stage import InvalidValue, Pixels

#: Names of label columns, tried in this order where no column has the type `ClassLabel`.
LABEL_COLUMNS = ("label", "labels", "class", "category")

#: Split → its name on the hub.
HUB_SPLITS = {TRAIN: "train", VAL: "validation", TEST: "test"}

log = logging.getLogger(__name__)


def import_datasets() -> Any:
    """The package `datasets`.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return importlib.import_module("datasets")
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"data=huggingface needs the extra huggingface: pip install 'sota-exp[huggingface]' ({error})"
        ) from error


def choose_column(name: str, column: str | None, candidates: list[str], columns: list[str]) -> str:
    """`column`, or the only candidate where it is None; name: the field, for the error.

    Raises:
        InvalidValue: the data set has no such column, or there is not exactly one candidate.
    """
    legal = f"a column of the data set: {', '.join(columns)}"
    if column is not None and column not in columns:
        raise InvalidValue(name, column, legal)
    if column is None and len(candidates) != 1:
        problem = f"{len(candidates)} could be it: {', '.join(candidates)}" if candidates else "none was found"
        raise InvalidValue(name, "null", f"{legal}; {problem}, so set {name}")
    return column or candidates[0]


def find_label_columns(features: dict[str, Any]) -> list[str]:
    """The columns of type `ClassLabel`, or else the first one with a usual name of a label column."""
    classes = [name for name, kind in features.items() if isinstance(kind, import_datasets().ClassLabel)]
    return classes or [name for name in LABEL_COLUMNS if name in features][:1]


def find_classes(kind: Any, labels: list[Any]) -> tuple[list[str], dict[Any, int]]:
    """Class names, and label → class index, from the type of the label column or else the labels of train.

    Raises:
        InvalidValue: the labels are neither strings nor integers.
    """
    if isinstance(kind, import_datasets().ClassLabel):
        return [make_printable(name) for name in kind.names], {number: number for number in range(len(kind.names))}
    if not all(isinstance(label, str | int) for label in labels):
        raise InvalidValue("label_column", kind, "a column with one string or integer per image")
    values = sorted(set(labels))
    return [make_printable(str(value)) for value in values], {value: number for number, value in enumerate(values)}


@dataclass(frozen=True, kw_only=True)
class HuggingFace(DataSource):
    """A data set of the hub with the splits train, validation and test; missing ones are taken from train.

    config, revision: as on the hub. Columns that are null are found by their type.
    """

    dataset: str
    config: str | None
    revision: str | None
    image_column: str | None
    label_column: str | None
    max_side: Pixels | None

    def __call__(self) -> DataSet:
        columns = [self.image_column, self.label_column]
        request = [self.dataset, self.config, self.revision, *columns, self.max_side, DECODING]
        key = f"huggingface-{hashlib.blake2b(json.dumps(request).encode(), digest_size=12).hexdigest()}"
        return check_splits(open_data_set(self, key, self.contents), "dataset", self.dataset)

    def open_for_scoring(self) -> DataSet:
        data = self()
        return use_given_splits(data, cast(ImageStore, data.images).split)

    def contents(self) -> StoreContents:
        """The class names and the decoded images of all splits.

        Raises:
            InvalidValue: the label column has only one class.
        """
        parts = self.select_splits(self.download())
        features = parts[TRAIN].features
        images = [name for name, kind in features.items() if isinstance(kind, import_datasets().Image)]
        image = choose_column("image_column", self.image_column, images, list(features))
        label = choose_column("label_column", self.label_column, find_label_columns(features), list(features))
        unread = [name for name in features if name not in (image, label) and SPLIT_COLUMN.search(name.lower())]
        if unread and len(parts) == 1:
            words = "%s: its column %s is not read; val and test are cut from train at random, by data.split_seed"
            log.warning(words, self.dataset, ", ".join(unread))
        names, index = find_classes(features[label], list(parts[TRAIN][label]))
        if len(names) < 2:
            raise InvalidValue("label_column", label, f"a column of at least two classes; it has {len(names)}")
        labelled = {split: part for split, part in parts.items() if self.has_labels(part[label], split, index)}
        samples = (
            self.samples(part, split, image, [index[each] for each in part[label]]) for split, part in labelled.items()
        )
        return StoreContents(names, itertools.chain.from_iterable(samples))

    def download(self) -> dict[str, Any]:
        """Name on the hub → split, downloaded where it is not in the cache.

        Raises:
            RunFailed: the hub cannot be reached or has no such data set.
        """
        load_dataset = import_datasets().load_dataset
        folder = expand_home(self.cache).absolute() / "downloads" / "huggingface"
        try:
            return dict(load_dataset(self.dataset, self.config, revision=self.revision, cache_dir=str(folder)))
        except MemoryError:
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise
            cause = " ".join(str(error).split())[:400] or type(error).__name__
            raise RunFailed(
                f"cannot download {self.dataset} from the Hugging Face Hub (huggingface.co): {cause}. data.dataset=DIR "
                f"reads a folder, data.config=NAME chooses a configuration; downloads go to {folder} (data.cache=DIR)"
            ) from error

    def select_splits(self, loaded: dict[str, Any]) -> dict[int, Any]:
        """Split → its data, by the names on the hub; splits with other names are ignored.

        Raises:
            InvalidValue: there is no train split, or a split has two names.
        """
        parts: dict[int, Any] = {}
        for name, part in loaded.items():
            split = find_split(name)
            if split is None:
                log.warning("%s: its split %s is ignored: not one of %s", self.dataset, name, ", ".join(SPLIT_NAMES))
            elif split in parts:
                legal = f"a data set with one split each to train, validate and test; it has {', '.join(loaded)}"
                raise InvalidValue("dataset", self.dataset, legal)
            else:
                parts[split] = part
        if TRAIN not in parts:
            raise InvalidValue("dataset", self.dataset, f"a data set with a split train; it has {', '.join(loaded)}")
        return dict(sorted(parts.items()))

    def has_labels(self, labels: Any, split: int, index: dict[Any, int]) -> bool:
        """Whether a split has labels; the secret ones of the test split of a challenge are all -1 or null.

        Raises:
            InvalidValue: a label does not occur in train.
        """
        found = set(labels)
        if found <= {-1, None} and split != TRAIN:
            log.warning("%s: its split %s has no labels and is ignored", self.dataset, HUB_SPLITS[split])
            return False
        if unknown := found - set(index):
            some = ", ".join(sorted(map(str, unknown))[:5])
            legal = f"labels that occur in train; {HUB_SPLITS[split]} has {some}"
            raise InvalidValue("dataset", self.dataset, legal)
        return True

    def samples(self, part: Any, split: int, image: str, numbers: list[int]) -> Iterator[Sample]:
        """The images of one split, from the column `image`, with their class indices."""
        images, place = part.select_columns([image]), f"of {HUB_SPLITS[split]}"
        return decode_split(
            lambda row: (images[row][image], numbers[row]), len(numbers), split, self.max_side, self.dataset, place
        )
