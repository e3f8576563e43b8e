"""A study with its arms, effects and costs, as `study.json` contains them."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sota_exp.statistics.units import METRICS, SHARE, scale_of


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A confidence interval at the study's level."""

    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, kw_only=True)
class Change:
    """The value of an arm minus that of its reference."""

    difference: float | None = None
    interval: Interval | None = None


@dataclass(frozen=True, kw_only=True)
class Examples:
    """The difference over test images; `won`, `lost`: images that the arm classifies correctly more or less often."""

    change: Change
    won: float | None
    lost: float | None


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Means over seeds; `seconds` of training; `points_per_hour`: gain per additional hour of training."""

    seconds: float | None = None
    seconds_change: Change = Change()
    training_flops: float | None = None
    flops_per_image: float | None = None
    parameters: float | None = None
    peak_memory_bytes: float | None = None
    points_per_hour: float | None = None


@dataclass(frozen=True, kw_only=True)
class Arm:
    """A variant of the recipe: its runs by seed, its results and its difference from its reference."""

    name: str
    label: str
    reference: str | None
    overrides: tuple[str, ...]
    choices: Mapping[str, str]
    differences: Mapping[str, tuple[Any, Any]]
    runs: Mapping[int, str]
    failures: Mapping[int, str]
    n: int
    mean: float | None
    sd: float | None
    values: Mapping[int, float]
    difference: float | None
    interval: Interval | None
    p_adjusted: float | None
    detectable: float | None
    verdict: str
    verdict_words: str
    examples: Examples | None
    ece: float | None
    ece_change: Change
    classes: Mapping[str, Change]
    cost: Cost


@dataclass(frozen=True, kw_only=True)
class Effect:
    """A main effect or an interaction of a design; `aliases`: effects that the design cannot separate from it."""

    factors: tuple[str, ...]
    labels: tuple[str, ...]
    estimate: float | None
    interval: Interval | None
    p_adjusted: float | None
    verdict: str
    aliases: tuple[str, ...]

    @property
    def name(self) -> str:
        return " × ".join(self.labels)


@dataclass(frozen=True, kw_only=True)
class Looks:
    """Interim looks: numbers of seeds, planned and done; alpha spent at each; by arm, the seeds at its decision."""

    planned: tuple[int, ...]
    done: tuple[int, ...]
    alpha_spent: tuple[float, ...]
    decided: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Study:
    """The contents of `study.json`."""

    directory: Path
    kind: str
    name: str
    title: str
    recipe: str
    data: str
    metric: str
    level: float
    power: float
    seeds: tuple[int, ...]
    budget: str
    command: str
    classes: tuple[str, ...]
    num_test: int | None
    environment: Mapping[str, Any]
    arms: tuple[Arm, ...]
    refused: tuple[tuple[str, str], ...]
    rules: tuple[tuple[str, str], ...]
    effects: tuple[Effect, ...]
    interactions: tuple[Effect, ...]
    looks: Looks | None
    detectable: Mapping[int, float]
    seeds_needed: Mapping[float, int]
    sd_assumed: float | None
    sd_source: str
    notes: tuple[str, ...]
    status: str
    missing: tuple[tuple[str, int | None, str], ...]

    def arm(self, name: str | None) -> Arm | None:
        return self._by_name.get(name)

    @functools.cached_property
    def _by_name(self) -> dict[str | None, Arm]:
        return {arm.name: arm for arm in self.arms}

    @functools.cached_property
    def numbers(self) -> dict[str, str]:
        """The number of each arm on the page, from 0."""
        return {arm.name: str(index) for index, arm in enumerate(self.arms)}

    @property
    def compared(self) -> list[Arm]:
        """The arms with a reference, in order."""
        return [arm for arm in self.arms if arm.reference is not None]

    @property
    def is_chain(self) -> bool:
        """Whether each arm but the first has the arm before it as its reference, in at least two steps."""
        references = [arm.reference for arm in self.arms]
        return len(references) > 2 and references == [None, *(arm.name for arm in self.arms[:-1])]

    @property
    def higher_is_better(self) -> bool:
        return METRICS.get(self.metric, False)

    @property
    def is_share(self) -> bool:
        """Whether the metric is a fraction: displayed in percent, its differences in percentage points."""
        return scale_of(self.metric) is SHARE
