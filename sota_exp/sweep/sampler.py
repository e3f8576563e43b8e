"""The sampler of a sweep, created for every trial, and the number of trials that it can draw."""

import functools
import math
import warnings
from collections.abc import Mapping
from typing import Any

import optuna
from hydra.utils import instantiate
from hydra_plugins.hydra_optuna_sweeper._impl import OptunaSweeperImpl
from optuna.samplers import BaseSampler

from sota_exp.sweep.space import SearchSpace

#: Classes and functions that the sampler's configuration may name, as in hydra-optuna-sweeper.
SAMPLERS = ("hydra_plugins.hydra_optuna_sweeper.*", "optuna.samplers.*")


def count_trials(node: Mapping[str, Any], space: SearchSpace, n_trials: int) -> int:
    """The number of trials: `n_trials`, or the size of the grid where that is smaller. node: as in `make_sampler`."""
    if not str(node.get("_target_", "")).endswith("GridSampler"):
        return n_trials
    return min(n_trials, math.prod(len(values) for values in _build_grid(space).values()))


def make_sampler(node: Mapping[str, Any], space: SearchSpace, number: int) -> BaseSampler:
    """The sampler of a trial, with the configured seed + `number`, so that a repeated command draws new values.

    node: the configuration of the sampler.
    """
    seed = {} if node.get("seed") is None else {"seed": int(node["seed"]) + number}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        made = instantiate({**node, **seed}, _execution_whitelist_=SAMPLERS)
        sampler: BaseSampler = made(_build_grid(space)) if isinstance(made, functools.partial) else made
    return sampler


def _build_grid(space: SearchSpace) -> dict[str, Any]:
    return {name: OptunaSweeperImpl._to_grid_sampler_choices(kind) for name, kind in space.knobs.items()}
