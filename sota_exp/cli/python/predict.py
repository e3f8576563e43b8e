"""Classifies images of any kind with a finished run's model: files, folders, arrays, tensors and Pillow's images."""

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from sota_exp.cli.python.notebook import format_facts, format_table, join_parts
from sota_exp.config.data_paths import expand_home
from sota_exp.data.memory_image import read_image
from sota_exp.errors import ConfigError
from sota_exp.models.predict import Prediction, classify_images, find_images, predict_files
from sota_exp.models.saved import SavedModel
from sota_exp.report.numbers import format_count, format_percent
from sota_exp.training.device import pick_device
from sota_exp.training.trained_on import describe_predicted, read_trained_on_of

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

#: Most images of which a notebook shows the classes, and most classes of each.
MOST_SHOWN, MOST_CLASSES = 20, 3


@dataclass(frozen=True, kw_only=True, repr=False)
class Predictions:
    """What a model says of N images.

    images: their paths, or their numbers from 0. classes: C names. probabilities: float32 [N, C], in [0, 1].
    unreadable: path → why it cannot be read; such a file is not among the images.
    """

    images: list[str]
    classes: tuple[str, ...]
    probabilities: NDArray[np.float32]
    unreadable: Mapping[str, str] = field(default_factory=dict)

    @property
    def frame(self) -> "pd.DataFrame":
        """A row for each image: image, prediction (the most probable class), probability."""
        return self.top(1).drop(columns="rank").rename(columns={"class": "prediction"})

    def top(self, k: int = 5) -> "pd.DataFrame":
        """A row for each image and each of its k most probable classes: image, rank (from 1), class, probability."""
        import pandas as pd

        ranked = np.argsort(-self.probabilities, axis=1, kind="stable")[:, :k]
        rows = [
            (image, rank, self.classes[label], self.probabilities[number, label])
            for number, image in enumerate(self.images)
            for rank, label in enumerate(ranked[number], start=1)
        ]
        return pd.DataFrame(rows, columns=["image", "rank", "class", "probability"])

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        return f"<Predictions of {len(self):,} images, {len(self.classes):,} classes>"

    def _repr_html_(self) -> str:
        found = self.top(MOST_CLASSES).groupby("image", sort=False)
        rows = [
            [image, *(f"{row['class']} {format_percent(row.probability, 1)}" for _, row in each.iterrows())]
            for image, each in list(found)[:MOST_SHOWN]
        ]
        heading = ["image", *(f"{rank}." for rank in range(1, min(MOST_CLASSES, len(self.classes)) + 1))]
        facts = [f"{len(self):,} images, {len(self.classes):,} classes"]
        facts += (
            [f"{format_count(len(self.unreadable), 'file')} cannot be read: see .unreadable"] if self.unreadable else []
        )
        return join_parts("Predictions", format_facts(facts), format_table(heading, rows))


def classify(model: SavedModel, images: Any, batch_size: int, device: str) -> Predictions:
    """Classify images of any kind; see `sota_exp.predict`.

    Raises:
        ConfigError: there is no such file, or what was given is no image.
        RunFailed: the network's answers are no numbers.
    """
    given = list(_iterate_images(images, model))
    if not given:
        raise ConfigError("predict needs images: paths, arrays, tensors or images of Pillow")
    return _predict(model, given, batch_size, pick_device(device))


def _predict(model: SavedModel, given: Sequence[Path | Tensor], batch_size: int, device: torch.device) -> Predictions:
    files = [image for image in given if isinstance(image, Path)]
    trained_on = read_trained_on_of(model.weights) if files else []
    found = predict_files(model, files, len(model.classes), batch_size, device)
    tensors = [image for image in given if isinstance(image, Tensor)]
    classified = iter(classify_images(model, tensors, batch_size, device))
    names: list[str] = []
    rows: list[NDArray[np.float32]] = []
    unreadable: dict[str, str] = {}
    for number, image in enumerate(given):
        if isinstance(image, Tensor):
            names.append(str(number))
            rows.append(next(classified).numpy())
        elif isinstance(made := next(found), Prediction):
            shares = dict(zip(made.classes, made.probabilities, strict=True))
            names.append(str(image))
            rows.append(np.array([shares[name] for name in model.classes], np.float32))
        else:
            unreadable[str(image)] = made.reason
            log.warning("%s", made)
    if known := describe_predicted([path for path in files if str(path) not in unreadable], trained_on):
        log.warning("%s", known)
    stacked = np.stack(rows) if rows else np.zeros((0, len(model.classes)), np.float32)
    return Predictions(images=names, classes=model.classes, probabilities=stacked, unreadable=unreadable)


def _iterate_images(given: Any, model: SavedModel) -> Iterator[Path | Tensor]:
    """The files and the images, uint8 [3, H, W], that a user's value means."""
    if isinstance(given, str | os.PathLike):
        yield from _find_files(expand_home(os.fspath(given)))
    elif isinstance(given, Image.Image | np.ndarray | Tensor):
        images: Any = [given] if isinstance(given, Image.Image) or given.ndim != 4 else given
        yield from (read_image(each, model.white) for each in images)
    elif isinstance(given, Iterable):
        for each in given:
            yield from _iterate_images(each, model)
    else:
        raise ConfigError(f"{type(given).__name__} is no image; legal: paths, arrays, tensors, images of Pillow")


def _find_files(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise ConfigError(f"{place}: no such file or folder")
    found, left_out = find_images(place)
    if left_out:
        log.warning("%s: %s", place, left_out)
    if not found:
        raise ConfigError(f"{place}: no image file in this folder or below it")
    return found
