"""A study with its arms, effects and costs, as `study.json` contains them."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sota_exp.statistics.looks_cost import LooksCost
from sota_exp.statistics.units import METRIC_WORDS, MetricFormat, get_metric_format

#: What the arms of a kind of study are called; `arm` in others.
NOUNS = {
    "ladder": "step",
    "leave_one_out": "omission",
    "one_change": "change",
    "add_one_in": "addition",
    "one_slot": "option",
    "screening": "cell",
    "auto": "omission",
    "null": "null arm",
}


@dataclass(frozen=True, kw_only=True)
class ConfidenceInterval:
    """A confidence interval at the study's level."""

    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The value of an arm minus that of its reference."""

    difference: float | None = None
    interval: ConfidenceInterval | None = None


@dataclass(frozen=True, kw_only=True)
class ImageNoise(Difference):
    """The difference over test images; `won`, `lost`: images that the arm classifies correctly more or less often."""

    won: float | None = None
    lost: float | None = None


@dataclass(frozen=True, kw_only=True)
class Calibration(Difference):
    """The calibration error on test."""

    ece: float | None = None


@dataclass(frozen=True, kw_only=True)
class ArmCost:
    """Means over seeds; `seconds` of training; `points_per_hour`: gain per additional hour of training."""

    seconds: float | None = None
    seconds_difference: float | None = None
    interval: ConfidenceInterval | None = None
    training_flops: float | None = None
    flops_per_image: float | None = None
    parameters: float | None = None
    peak_memory_bytes: float | None = None
    points_per_hour: float | None = None


@dataclass(frozen=True, kw_only=True)
class OnNewImages:
    """A difference in new training runs on new images like the tested ones."""

    interval: ConfidenceInterval | None = None
    p_adjusted: float | None = None


@dataclass(frozen=True, kw_only=True)
class WithHeadline:
    """What has an interval on the tested images, and perhaps one that covers new images too."""

    interval: ConfidenceInterval | None = None
    p_adjusted: float | None = None
    new_images: OnNewImages | None = None

    @property
    def headline(self) -> ConfidenceInterval | None:
        """The interval that the verdict is about: for new training runs on new images, where it is known."""
        beyond = self.new_images
        return self.interval if beyond is None or beyond.interval is None else beyond.interval

    @property
    def headline_p(self) -> float | None:
        """The p-value that the verdict is about."""
        beyond = self.new_images
        if beyond is None or beyond.p_adjusted is None:
            return self.p_adjusted
        return max(beyond.p_adjusted, self.p_adjusted or 0.0)


@dataclass(frozen=True, kw_only=True)
class StudyArm(Difference, WithHeadline):
    """A variant of the recipe: its runs by seed, its results and its difference from its reference.

    evidence: after each seed, of looks at any time; further_seeds: the median that would decide it.
    """

    name: str
    label: str
    reference: str | None = None
    overrides: tuple[str, ...] = ()
    choices: Mapping[str, str] = field(default_factory=dict)
    differences: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    runs: Mapping[int, str] = field(default_factory=dict)
    failures: Mapping[int, str] = field(default_factory=dict)
    n: int = 0
    mean: float | None = None
    sd: float | None = None
    values: Mapping[int, float] = field(default_factory=dict)
    detectable: float | None = None
    evidence: tuple[float, ...] = ()
    further_seeds: int | None = None
    verdict: str = "reference"
    verdict_words: str = ""
    examples: ImageNoise | None = None
    calibration: Calibration = Calibration()
    classes: Mapping[str, Difference] = field(default_factory=dict)
    cost: ArmCost = ArmCost()


@dataclass(frozen=True, kw_only=True)
class DesignEffect(WithHeadline):
    """A main effect (`factor`) or an interaction (`factors`); `aliases`: effects that cannot be separated from it."""

    factor: str = ""
    factors: tuple[str, ...] = ()
    label: str = ""
    estimate: float | None = None
    p_value: float | None = None
    verdict: str = ""
    aliases: tuple[str, ...] = ()

    @property
    def difference(self) -> float | None:
        return self.estimate

    @property
    def name(self) -> str:
        """The labels of its factors; their names where there is not a label for each."""
        factors, labels = self.factors or (self.factor,), self.label.split(" × ")
        return self.label if len(labels) == len(factors) and all(labels) else " × ".join(factors)


@dataclass(frozen=True, kw_only=True)
class FirstStage:
    """The screening design of a study of two stages. effects: with the choice as their verdict.

    level: the largest p-value of a technique that is followed. cells: name → `overrides`, and `run`, its directory.
    """

    words: str = ""
    metric: str = ""
    level: float = 0.2
    effects: tuple[DesignEffect, ...] = ()
    cells: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class InterimLooks:
    """Interim looks: numbers of seeds, planned and done; alpha spent at each; by arm, the seeds at its decision.

    kind: planned or anytime. threshold: of looks at any time, the evidence that decides an arm.
    """

    kind: str = "planned"
    threshold: float | None = None
    planned: tuple[int, ...] = ()
    done: tuple[int, ...] = ()
    alpha_spent: tuple[float, ...] = ()
    decided: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Seeds needed by size of an effect, and the assumed standard deviation of paired differences.

    effect, looks: the smallest effect of interest, and the seeds that each kind of looks takes to show it.
    fewest_seeds: those that any verdict needs, where the study has fewer.
    """

    fewest_seeds: int | None = None
    seeds_needed: Mapping[float, int] = field(default_factory=dict)
    sd_assumed: float | None = None
    sd_source: str = ""
    effect: float | None = None
    looks: tuple[LooksCost, ...] = ()


@dataclass(frozen=True, kw_only=True)
class NextSteps:
    """What would decide the open questions, in sentences."""

    lines: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StudyResult:
    """The contents of `study.json`."""

    directory: Path
    kind: str = "study"
    name: str
    title: str
    warning: str = ""
    recipe: str = ""
    data: str = ""
    metric: str
    level: float = 0.95
    power: float = 0.8
    seeds: tuple[int, ...] = ()
    budget: str = "epochs"
    length: str = ""
    command: str = ""
    classes: tuple[str, ...] = ()
    num_test: int | None = None
    num_test_groups: int | None = None
    environment: Mapping[str, Any] = field(default_factory=dict)
    arms: tuple[StudyArm, ...]
    refused: tuple[Mapping[str, str], ...] = ()
    rules: tuple[Mapping[str, str], ...] = ()
    effects: tuple[DesignEffect, ...] = ()
    interactions: tuple[DesignEffect, ...] = ()
    looks: InterimLooks | None = None
    screening: FirstStage = FirstStage()
    saved: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    plan: Plan = Plan()
    next: NextSteps = NextSteps()
    notes: tuple[str, ...] = ()
    status: str = "complete"
    missing: tuple[Mapping[str, Any], ...] = ()

    def arm(self, name: str | None) -> StudyArm | None:
        return next((arm for arm in self.arms if arm.name == name), None)

    def places(self, *arms: StudyArm) -> list[Path]:
        """The directories of the runs of arms, in the order of their seeds."""
        return [self.directory / place for arm in arms for place in arm.runs.values()]

    @functools.cached_property
    def arm_numbers(self) -> dict[str, str]:
        """The number of each arm on the page, from 0."""
        return {arm.name: str(index) for index, arm in enumerate(self.arms)}

    @property
    def compared(self) -> list[StudyArm]:
        """The arms with a reference, in order."""
        return [arm for arm in self.arms if arm.reference is not None]

    @property
    def is_chain(self) -> bool:
        """Whether each arm but the first has the arm before it as its reference, in at least two steps."""
        references = [arm.reference for arm in self.arms]
        return len(references) > 2 and references == [None, *(arm.name for arm in self.arms[:-1])]

    @property
    def noun(self) -> str:
        """What its arms are called."""
        return NOUNS.get(self.kind, "arm")

    @property
    def scale(self) -> MetricFormat:
        return get_metric_format(self.metric)

    @property
    def metric_name(self) -> str:
        """`Test accuracy`; a metric of one's own by its key."""
        split, _, name = self.metric.partition("/")
        title = {"test": "Test", "val": "Validation"}.get(split)
        return f"{title} {METRIC_WORDS[name]}" if title and name in METRIC_WORDS else self.metric
