"""The keys of `hydra.sweeper`, typed and checked, except the search space itself."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from omegaconf import OmegaConf

from sota_exp.config.build import build, prefix_invalid_values
from sota_exp.config.values import format_given_value, format_suggestion
from sota_exp.errors import ConfigError
from sota_exp.stages.stage import require
from sota_exp.statistics.units import HIGHER_IS_BETTER, find_direction
from sota_exp.sweep.storage import Direction

#: Keys that hold mappings with free keys; and these together with the keys of `Objectives` and the storage.
MAPPING_KEYS = ("params", "conditional", "derived", "sampler", "pruner")
NOT_SETTINGS = (*MAPPING_KEYS, "objective", "direction", "constraints", "storage")

#: Costs of a trial, by their names in `result.json`.
TRIAL_COSTS = (
    "train_seconds",
    "flops_per_image",
    "parameters",
    "peak_memory_bytes",
    "images_per_second",
    "images_seen",
    "steps",
)


@dataclass(frozen=True, kw_only=True)
class ConfirmSettings:
    """top: among how many of the best trials the winner is chosen. seeds: fresh seeds of the choice and of the test."""

    top: int
    seeds: int

    def __post_init__(self) -> None:
        require(self.top >= 0, "top", self.top, "a count, 0 for no confirmation")
        legal = (
            "at least 2, as an interval needs several seeds; hydra.sweeper.confirm.top=0 leaves out the confirmation"
        )
        require(self.top == 0 or self.seeds >= 2, "seeds", self.seeds, legal)

    @property
    def num_runs(self) -> int:
        """The most trainings: the best trials for the choice, if there are several; then winner and recipe."""
        return ((self.top if self.top > 1 else 0) + 2 * (self.top > 0)) * self.seeds


@dataclass(frozen=True, kw_only=True)
class SweepSettings:
    """Plain values of `hydra.sweeper`, described in `conf/hydra/sweeper/sota_exp.yaml`."""

    n_trials: int
    n_jobs: int
    study_name: str | None
    custom_search_space: str | None
    seeds: int
    timeout: float | None
    patience: int | None
    max_failure_rate: float
    max_failures_in_a_row: int
    retries: int
    heartbeat: int
    grace: int
    pruning_starts: float
    defaults_first: bool
    warm_start: str | None
    warm_start_points: int
    confirm: ConfirmSettings

    def __post_init__(self) -> None:
        for name in ("n_trials", "n_jobs", "seeds", "max_failures_in_a_row", "heartbeat", "warm_start_points"):
            require(vars(self)[name] >= 1, name, vars(self)[name], "a count, at least 1")
        for name in ("max_failure_rate", "pruning_starts"):
            require(0 <= vars(self)[name] <= 1, name, vars(self)[name], "a fraction in [0, 1]")
        require(self.retries >= 0, "retries", self.retries, "a count, 0 or more")
        require(self.grace > self.heartbeat, "grace", self.grace, f"seconds, above heartbeat={self.heartbeat}")
        require(self.timeout is None or self.timeout > 0, "timeout", self.timeout, "null, or seconds above 0")
        require(self.patience is None or self.patience >= 1, "patience", self.patience, "null, or at least 1 trial")


#: Direction of every metric that our training measures on val; jobs of another program may have other metrics.
VAL_DIRECTIONS: dict[str, Direction] = {
    name: "maximize" if more else "minimize" for name, more in HIGHER_IS_BETTER.items() if name.startswith("val/")
}


@dataclass(frozen=True, kw_only=True)
class Objectives:
    """The objectives with one direction per objective. constraints: {cost: its largest legal value}."""

    objectives: list[str]
    directions: list[Direction]
    constraints: dict[str, float]

    @property
    def is_single(self) -> bool:
        return len(self.objectives) == 1

    def __post_init__(self) -> None:
        for name in self.objectives:
            require_measure("objective", name, with_val=True)
        for name in self.constraints:
            require_measure("constraints", name, with_val=False)
        legal = f"one direction per objective of {self.objectives}"
        require(len(self.objectives) == len(self.directions), "direction", self.directions, legal)
        for name, direction in zip(self.objectives, self.directions, strict=True):
            require(direction in get_args(Direction), "direction", direction, ", ".join(get_args(Direction)))
            best = VAL_DIRECTIONS.get(name, direction)
            require(direction == best, "direction", direction, f"{best}: {direction} would search for the worst {name}")


def require_measure(key: str, name: str, with_val: bool) -> None:
    """Check that a trial measures the metric; test metrics are refused, because a search must not see them.

    Raises:
        ConfigError: it does not.
    """
    legal = [*(VAL_DIRECTIONS if with_val else ()), *(f"cost/{cost}" for cost in TRIAL_COSTS)]
    # Other programs have other val metrics; a name that is almost one of ours is a mistake.
    is_typo = find_direction(name) is None and difflib.get_close_matches(name, VAL_DIRECTIONS, n=1, cutoff=0.8)
    is_other = name.startswith("val/") and not is_typo
    if name in legal or (with_val and is_other):
        return
    why = "a sweep must not see test metrics; " if name.startswith("test/") else ""
    raise ConfigError(f"hydra.sweeper.{key}: {name}: {why}legal: {', '.join(legal)}.{format_suggestion(name, legal)}")


def read_settings(given: Mapping[str, Any]) -> SweepSettings:
    """The plain values of `hydra.sweeper`.

    Raises:
        ConfigError: a value is not legal.
    """
    confirm = given.get("confirm")
    if not isinstance(confirm, Mapping):
        legal = "hydra.sweeper.confirm.top=N confirms the best N trials, hydra.sweeper.confirm.top=0 none"
        raise ConfigError(f"hydra.sweeper.confirm={format_given_value(confirm)} is not legal: {legal}")
    values = {key: value for key, value in given.items() if key not in NOT_SETTINGS}
    return build(SweepSettings, values, "hydra.sweeper")


def read_goal(given: Mapping[str, Any]) -> Objectives:
    """The objectives with their directions, and the constraints."""
    objective, direction = given["objective"], given["direction"]
    with prefix_invalid_values("hydra.sweeper"):
        return Objectives(
            objectives=objective if isinstance(objective, list) else [str(objective)],
            directions=direction if isinstance(direction, list) else [direction],
            constraints={key: float(value) for key, value in (given["constraints"] or {}).items()},
        )


def read_trees(given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The values of the keys `MAPPING_KEYS` as plain mappings; empty for null.

    Raises:
        ConfigError: a value is not a mapping, for example because an option was chosen with a dot.
    """
    trees = {name: given[name] or {} for name in MAPPING_KEYS}
    for name, tree in trees.items():
        if not isinstance(tree, dict):
            hint = f"; an option is chosen with hydra/sweeper/{name}={tree}" if name in ("sampler", "pruner") else ""
            raise ConfigError(f"hydra.sweeper.{name}={tree} is not legal: a mapping, or null{hint}")
    return trees


def to_plain(given: Mapping[str, Any]) -> dict[str, Any]:
    """The values with OmegaConf containers converted to plain ones and interpolations resolved."""
    return {
        key: OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
        for key, value in given.items()
    }
