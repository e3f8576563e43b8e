"""Which images `sota-exp evaluate` scores: val and test of the run, or what the command names."""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from sota_exp.config.build import prefix_invalid_values
from sota_exp.config.experiment import Experiment
from sota_exp.config.values import quote_first
from sota_exp.data.class_order import spell_like
from sota_exp.data.open import open_data
from sota_exp.data.splits import limit_data_set
from sota_exp.errors import ConfigError
from sota_exp.runs.scored_images import PARTS
from sota_exp.stages.data import DataSet

log = logging.getLogger(__name__)


def open_outside_data(
    experiment: Experiment, trained_on: str, image_digests: np.ndarray | None, is_limited: bool
) -> DataSet:
    """A data set for a model that was trained on others: without val and test, all of it is the test part.

    trained_on: the digest of the data that the model was trained on, or "", and image_digests those of the images, or
    None: where it is that set after all, its val and test are those of the training. is_limited: the scale limits the
    number of images.
    """
    with prefix_invalid_values("data"):
        data = experiment.data.open_for_scoring()
    if data.digest == trained_on:
        return open_data(experiment)
    if image_digests is not None and (cut := cut_as_in_training(experiment, data, image_digests)):
        return cut
    if len(data.val) + len(data.test) == 0:
        data = replace(data, test=data.train, train=torch.empty(0, dtype=torch.int64))
    return limit_data_set(data, experiment.scale) if is_limited else data


def cut_as_in_training(experiment: Experiment, data: DataSet, image_digests: np.ndarray) -> DataSet | None:
    """The set with the parts of the training, if its images are those of the training, however they are read now.

    None if the cut of the configuration does not divide them into images that were trained on and others.
    image_digests: of those that the model was trained on, int64 [N].
    """
    if not np.isin(data.image_digests[data.train].numpy(), image_digests).any():
        return None
    try:
        cut = open_data(experiment)
    except ConfigError:  # too few images for these parts
        return None
    train, test = (np.isin(cut.image_digests[part].numpy(), image_digests).all() for part in (cut.train, cut.test))
    return cut if train and not test else None


def open_with_white(
    open_as: Callable[[Experiment], DataSet], experiment: Experiment, white: int | None, is_set: bool
) -> DataSet:
    """The data that `open_as` opens, their 16-bit files read with the white of the training, as `predict` reads them.

    white: of the training; None if it had no such files. is_set: whether the command sets another one, which is used.
    A difference is logged.
    """
    data = open_as(experiment)
    if None in (white, data.white) or white == data.white:
        return data
    source: Any = experiment.data
    if is_set or "white" not in vars(source):
        told = "16-bit images are read with %d as white, those of the training with %d: their scores are not comparable"
        log.warning(told, data.white, white)
        return data
    told = "16-bit images are read with %d as white, as in the training, not with %d; data.white sets another one"
    log.warning(told, white, data.white)
    return open_as(replace(experiment, data=replace(source, white=white)))


def reorder_labels(data: DataSet, classes: tuple[str, ...]) -> DataSet:
    """The data set, its labels in the order of the model's classes, of which it may lack some.

    Raises:
        ConfigError: the set has classes that the model does not have.
    """
    named = spell_like(data.classes, classes)
    unknown = [name for name in named if name not in classes]
    if unknown:
        raise ConfigError(
            f"data: the model has no class {quote_first(unknown)}; its {len(classes)} "
            f"classes are {quote_first(classes)}. Rename these classes as the model names "
            "them, or leave them out"
        )
    if absent := [name for name in classes if name not in named]:
        log.warning(
            "the data have no images of %d of the %d classes: %s", len(absent), len(classes), quote_first(absent)
        )
    positions = torch.tensor([classes.index(name) for name in named])
    return replace(data, labels=positions[data.labels], classes=classes)


def choose_parts(data: DataSet, part: str | None) -> tuple[str, ...]:
    """The names of the parts to score; None: those of val and test that have images.

    Raises:
        ConfigError: `part` has no images.
    """
    if part is None:
        return tuple(name for name in ("val", "test") if len(data.part(name)))
    if len(data.part(part)) == 0:
        legal = ", ".join(name for name in PARTS if len(data.part(name)))
        raise ConfigError(f"evaluation.part={part}: the data set has no images in this part; legal: {legal}")
    return (part,)
