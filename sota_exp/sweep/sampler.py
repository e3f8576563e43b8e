"""The sampler of a sweep, made anew for every trial, and the total that it can fill."""

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

#: What a sampler of the configuration may be made of, as the stock sweeper has it.
SAMPLERS = ("hydra_plugins.hydra_optuna_sweeper.*", "optuna.samplers.*")


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """`node`: the configuration of the sampler. `choices`: the values of a knob in a grid, as the stock sweeper makes them."""

    node: dict[str, Any]
    space: Space
    choices: Callable[[Any], Any]

    def total(self, asked: int) -> int:
        """The number of trials: those asked for; a grid may hold less."""
        if not self.is_grid:
            return asked
        return min(asked, math.prod(len(values) for values in self.grid().values()))

    @property
    def is_grid(self) -> bool:
        return str(self.node.get("_target_", "")).endswith("GridSampler")

    def grid(self) -> dict[str, Any]:
        return {name: self.choices(kind) for name, kind in self.space.knobs.items()}

    def sampler(self, number: int) -> BaseSampler:
        """The sampler for a trial: a seeded one draws by its seed and the trial's number, so that no repeat draws the same."""
        node = dict(self.node)
        if node.get("seed") is not None:
            node["seed"] = int(node["seed"]) + number
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            made = instantiate(node, _execution_whitelist_=SAMPLERS)
            sampler: BaseSampler = made(self.grid()) if isinstance(made, functools.partial) else made
        return sampler
