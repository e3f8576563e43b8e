"""Sets of Hugging Face's hub, by name, read with the package `datasets` (extra `huggingface`)."""

import errno
import hashlib
import importlib
import itertools
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sota_exp.data.decode import UNREADABLE, streamed, upright
from sota_exp.data.image_files import DECODING, PARTS, check_parts, require_max_side, stored
from sota_exp.data.store import data_set, open_or_build
from sota_exp.data.store_writer import TEST, TRAIN, VAL, Contents, Sample
from sota_exp.errors import ConfigError, RunFailed
from sota_exp.stages.data import DataSet, Source
from sota_exp.stages.stage import InvalidValue

#: What the label of an image is called where no column says that it is one, in the order of trial.
LABELS = ("label", "labels", "class", "category")

NAMES = {TRAIN: "train", VAL: "validation", TEST: "test"}

log = logging.getLogger(__name__)


def package() -> Any:
    """The package `datasets`. Raises `ConfigError` where it is not installed."""
    try:
        return importlib.import_module("datasets")
    except ModuleNotFoundError as error:
        wanted = (
            "data=huggingface needs the package datasets, the extra huggingface: pip install 'sota-exp[huggingface]'"
        )
        raise ConfigError(f"{wanted} ({error})") from error


def chosen(name: str, asked: str | None, candidates: list[str], columns: list[str]) -> str:
    """The column that is asked for, or the only candidate. Raises `InvalidValue` of the field `name`."""
    legal = f"a column of the set: {', '.join(columns)}"
    if asked is not None and asked not in columns:
        raise InvalidValue(name, asked, legal)
    if asked is None and len(candidates) != 1:
        what = f"{len(candidates)} could be it ({', '.join(candidates)})" if candidates else "none is seen to be it"
        raise InvalidValue(name, "null", f"{legal}; {what}, so name one")
    return asked or candidates[0]


def label_columns(features: dict[str, Any]) -> list[str]:
    """The columns that may hold the label: those of classes, or else the first that is called so."""
    classes = [name for name, kind in features.items() if isinstance(kind, package().ClassLabel)]
    return classes or [name for name in LABELS if name in features][:1]


def classes_of(kind: Any, labels: list[Any]) -> tuple[list[str], dict[Any, int]]:
    """The names of the classes and each label's number, from the column's kind or the labels of train.

    Raises:
        InvalidValue: labels that are no texts or numbers.
    """
    if isinstance(kind, package().ClassLabel):
        return list(kind.names), {number: number for number in range(len(kind.names))}
    if not all(isinstance(label, str | int) for label in labels):
        raise InvalidValue("label_column", kind, "a column with one text or whole number an image")
    values = sorted(set(labels))
    return [str(value) for value in values], {value: number for number, value in enumerate(values)}


@dataclass(frozen=True, kw_only=True)
class HuggingFace(Source):
    """A set with an image column and a label column; its parts train, validation and test, the missing ones cut from train.

    config, revision: as the hub calls them. The columns are found by their kind where they are null.
    """

    dataset: str
    config: str | None
    revision: str | None
    image_column: str | None
    label_column: str | None
    max_side: int | None

    def __post_init__(self) -> None:
        super().__post_init__()
        require_max_side(self.max_side)

    def __call__(self) -> DataSet:
        asked = [
            self.dataset,
            self.config,
            self.revision,
            self.image_column,
            self.label_column,
            self.max_side,
            DECODING,
        ]
        key = f"huggingface-{hashlib.blake2b(json.dumps(asked).encode(), digest_size=12).hexdigest()}"
        data = data_set(open_or_build(self.cache, key, self.contents), self)
        return check_parts(data, "dataset", self.dataset)

    def contents(self) -> Contents:
        """The names of the classes and the decoded images, of all parts in turn.

        Raises:
            RunFailed: the hub can't be reached or has no such set. InvalidValue: no train part, no such column.
        """
        parts = self.parts(self.loaded())
        features = parts[TRAIN].features
        images = [name for name, kind in features.items() if isinstance(kind, package().Image)]
        image = chosen("image_column", self.image_column, images, list(features))
        label = chosen("label_column", self.label_column, label_columns(features), list(features))
        names, index = classes_of(features[label], list(parts[TRAIN][label]))
        if len(names) < 2:
            raise InvalidValue("label_column", label, f"a column of two classes at least; it has {len(names)}")
        known = {split: part for split, part in parts.items() if self.is_labelled(part[label], split, index)}
        samples = (
            self.samples(part.select_columns([image]), split, part[label], index) for split, part in known.items()
        )
        return Contents(names, itertools.chain.from_iterable(samples))

    def loaded(self) -> dict[str, Any]:
        """The parts by their names on the hub, downloaded where they are not there yet. Raises `RunFailed`."""
        load_dataset = package().load_dataset
        place = Path(self.cache).expanduser().absolute() / "downloads" / "huggingface"
        try:
            return dict(load_dataset(self.dataset, self.config, revision=self.revision, cache_dir=str(place)))
        except MemoryError:
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise
            said = " ".join(str(error).split())[:400] or type(error).__name__
            raise RunFailed(
                f"{self.dataset} is not to be had from Hugging Face's hub (huggingface.co): {said}. data.dataset=DIR reads "
                f"a folder, data.config=NAME chooses a part of a collection; downloads go to {place} (data.cache=DIR)"
            ) from error

    def parts(self, loaded: dict[str, Any]) -> dict[int, Any]:
        """Our parts among those of the set. Raises `InvalidValue` where none trains, or two are one part."""
        parts: dict[int, Any] = {}
        for name, part in loaded.items():
            if name not in PARTS:
                log.warning("%s: its part %s is left aside: not one of %s", self.dataset, name, ", ".join(PARTS))
            elif PARTS[name] in parts:
                raise InvalidValue(
                    "dataset", self.dataset, f"a set whose parts are one of each; it has {', '.join(loaded)}"
                )
            else:
                parts[PARTS[name]] = part
        if TRAIN not in parts:
            raise InvalidValue("dataset", self.dataset, f"a set with a part train; it has {', '.join(loaded)}")
        return dict(sorted(parts.items()))

    def is_labelled(self, labels: Any, split: int, index: dict[Any, int]) -> bool:
        """Whether a part has labels; those of a test part that a challenge keeps secret are all -1 or null.

        Raises:
            InvalidValue: a label that train doesn't know.
        """
        found = set(labels)
        if found <= {-1, None} and split != TRAIN:
            log.warning("%s: its part %s has no labels and is left aside", self.dataset, NAMES[split])
            return False
        if strange := found - set(index):
            some = ", ".join(sorted(map(str, strange))[:5])
            raise InvalidValue("dataset", self.dataset, f"labels that train knows too; {NAMES[split]} has {some}")
        return True

    def samples(self, part: Any, split: int, labels: Any, index: dict[Any, int]) -> Iterator[Sample]:
        """The images of one part, decoded in threads."""
        numbers = [index[label] for label in labels]

        def sample(row: int) -> Sample:
            try:
                (image,) = part[row].values()
                return Sample(stored(upright(image), self.max_side), numbers[row], split)
            except (*UNREADABLE, AttributeError) as error:
                raise RunFailed(f"{self.dataset}: image {row} of {NAMES[split]} can't be read: {error}") from error

        return streamed(sample, range(len(numbers)))
