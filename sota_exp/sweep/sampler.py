"""The sampler of a sweep, created for every trial, and the number of trials that it can draw."""

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from hydra.utils import instantiate
from hydra_plugins.hydra_optuna_sweeper._impl import OptunaSweeperImpl
from optuna.samplers import BaseSampler, GridSampler
from optuna.trial import FrozenTrial, TrialState

from sota_exp.sweep.space import SearchSpace

#: Classes and functions that the sampler's configuration may name, as in hydra-optuna-sweeper.
SAMPLERS = ("hydra_plugins.hydra_optuna_sweeper.*", "optuna.samplers.*")


class Grid(GridSampler):
    """Optuna's grid without its end, for which it needs Optuna's own loop; `count_trials` knows the end."""

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        pass


def is_grid(node: Mapping[str, Any]) -> bool:
    """Whether every point of the space is tried once. node: as in `make_sampler`."""
    return str(node.get("_target_", "")).endswith("GridSampler")


def count_trials(node: Mapping[str, Any], space: SearchSpace, n_trials: int) -> int:
    """The number of trials: `n_trials`, or the size of the grid where that is smaller. node: as in `make_sampler`."""
    if not is_grid(node):
        return n_trials
    return min(n_trials, math.prod(len(values) for values in _build_grid(space).values()))


def format_small_space(node: Mapping[str, Any], space: SearchSpace, n_trials: int) -> str | None:
    """A warning if the space has fewer points than trials, which then repeat some. node: as in `make_sampler`."""
    try:
        num = math.prod(len(values) for values in _build_grid(space).values())
    except ValueError:  # a continuous range
        return None
    if is_grid(node) or space.conditions or n_trials <= num:
        return None
    return (
        f"the search space has {num} points, so some of {n_trials} trials repeat others; "
        f"hydra/sweeper/sampler=grid tries each once"
    )


def make_sampler(node: Mapping[str, Any], space: SearchSpace, number: int) -> BaseSampler:
    """The sampler of a trial, with the configured seed + `number`, so that a repeated command draws new values.

    A grid keeps the seed, by which its points are numbered. node: the configuration of the sampler.
    """
    seed = {} if node.get("seed") is None or is_grid(node) else {"seed": int(node["seed"]) + number}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        made = instantiate({**node, **seed}, _execution_whitelist_=SAMPLERS)
        sampler: BaseSampler = Grid(_build_grid(space), **made.keywords) if is_grid(node) else made
    return sampler


def _build_grid(space: SearchSpace) -> dict[str, Any]:
    return {name: OptunaSweeperImpl._to_grid_sampler_choices(kind) for name, kind in space.knobs.items()}
