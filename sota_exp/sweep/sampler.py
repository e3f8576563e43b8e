"""The sampler of a sweep, created for every trial, and the number of trials that it can draw."""

import functools
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import optuna
from hydra.utils import instantiate
from optuna.samplers import BaseSampler

from sota_exp.sweep.space import Space

#: Classes and functions that the sampler's configuration may name, as in hydra-optuna-sweeper.
SAMPLERS = ("hydra_plugins.hydra_optuna_sweeper.*", "optuna.samplers.*")


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """node: the configuration of the sampler. choices: converts a distribution to the values of a grid."""

    node: dict[str, Any]
    space: Space
    choices: Callable[[Any], Any]

    def total(self, n_trials: int) -> int:
        """The number of trials: `n_trials`, or the size of the grid where that is smaller."""
        if not self.is_grid:
            return n_trials
        return min(n_trials, math.prod(len(values) for values in self.build_grid().values()))

    @property
    def is_grid(self) -> bool:
        return str(self.node.get("_target_", "")).endswith("GridSampler")

    def build_grid(self) -> dict[str, Any]:
        return {name: self.choices(kind) for name, kind in self.space.knobs.items()}

    def sampler(self, number: int) -> BaseSampler:
        """The sampler of a trial, with the configured seed + `number`, so that a repeated command draws new values."""
        node = dict(self.node)
        if node.get("seed") is not None:
            node["seed"] = int(node["seed"]) + number
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            made = instantiate(node, _execution_whitelist_=SAMPLERS)
            sampler: BaseSampler = made(self.build_grid()) if isinstance(made, functools.partial) else made
        return sampler
