"""Metrics of `evaluation/metrics`: computed, checked and added to those that every run measures."""

import math
from collections import Counter
from collections.abc import Mapping
from numbers import Real

import numpy as np
import torch
from torch import Tensor

from sota_exp.errors import RunFailed, first_line
from sota_exp.runs.mlflow_store import sanitize_key
from sota_exp.runs.scored_images import PARTS
from sota_exp.stages.evaluation import Metrics


def add_own_metrics(
    found: Mapping[str, float | None], metrics: Metrics, logits: Tensor, labels: Tensor
) -> dict[str, float | None]:
    """`found`, the metrics of every run, and those of `metrics` for logits, float32 [N, C], and labels, int64 [N].

    Raises:
        RunFailed: it raises an error, or returns no finite number, or a name that is not its own.
    """
    own = type(metrics).__name__
    try:
        given = metrics(logits, labels)
    except Exception as error:
        raise RunFailed(f"evaluation/metrics: {own} raised {type(error).__name__}: {first_line(error)}") from error
    if not isinstance(given, Mapping):
        legal = "legal: a dictionary, name → number"
        raise RunFailed(
            f"evaluation/metrics: {own} returned {type(given).__name__} instead of numbers with names; {legal}"
        )
    written = Counter(sanitize_key(str(name)) for name in (*found, *given))
    values: dict[str, float] = {}
    for name, value in given.items():
        number = convert_number(value)
        if not isinstance(name, str) or not name:
            wrong = "no text"
        elif name in found:
            wrong = "a metric of every run"
        elif name.partition("/")[0] in PARTS:
            wrong = "a name with a part of the data, which is added to it"
        elif written[sanitize_key(name)] > 1:
            wrong = f"{sanitize_key(name)} in MLflow, as another one is"
        elif number is None:
            wrong = f"a value of type {type(value).__name__}"
        elif not math.isfinite(number):
            wrong = f"{number}"
        else:
            values[name] = number
            continue
        legal = "legal: finite numbers under names of their own"
        raise RunFailed(f"evaluation/metrics: {name!s} of {own} is {wrong}; {legal}")
    return {**found, **values}


def convert_number(value: object) -> float | None:
    """A number of Python or NumPy, or a tensor or an array of one number without dimensions; None for anything else."""
    if isinstance(value, torch.Tensor | np.ndarray) and value.ndim == 0:
        value = value.item()
    return float(value) if isinstance(value, Real) else None
