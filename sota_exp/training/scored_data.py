"""Which images `sota-exp evaluate` scores: val and test of the run, or what the command names."""

from dataclasses import replace

import torch

from sota_exp.config.build import prefix_invalid_values
from sota_exp.config.experiment import Experiment
from sota_exp.config.overrides import PARTS
from sota_exp.data.open import open_data
from sota_exp.data.splits import limit_data_set
from sota_exp.errors import ConfigError
from sota_exp.stages.data import DataSet


def open_outside_data(experiment: Experiment, trained_on: str, is_limited: bool) -> DataSet:
    """A data set for a model that was trained on others: without val and test, all of it is the test part.

    trained_on: the digest of the data that the model was trained on, or "": where it is that set after all, its val and
    test are those of the training. is_limited: the scale limits the number of images.
    """
    with prefix_invalid_values("data"):
        data = experiment.data.open_for_scoring()
    if data.digest == trained_on:
        return open_data(experiment)
    if len(data.val) + len(data.test) == 0:
        data = replace(data, test=data.train, train=torch.empty(0, dtype=torch.int64))
    return limit_data_set(data, experiment.scale) if is_limited else data


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
