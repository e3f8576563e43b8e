"""The settings of a study, the node `study` of the configuration, checked."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sota_exp.config.values import format_legal
from sota_exp.errors import ConfigError
from sota_exp.stages.stage import require
from sota_exp.statistics.interim import compute_look_levels
from sota_exp.statistics.sign_flip import find_smallest_p_value
from sota_exp.statistics.units import HIGHER_IS_BETTER, find_direction
from sota_exp.study.technique import Technique

STUDY_KINDS = ("ladder", "leave_one_out", "one_change", "add_one_in", "pairs", "one_slot", "screening", "auto", "null")
DIRECTIONS = ("maximize", "minimize")
BUDGETS = ("epochs", "steps", "flops", "seconds")

#: The value of `looks` for verdicts that hold whenever one looks.
ANYTIME = "anytime"

#: Unit in `time` → what is counted, and how many of it a unit is.
TIME_UNITS = {
    **dict.fromkeys(("", "s", "sec", "second", "seconds"), ("seconds", 1)),
    **dict.fromkeys(("m", "min", "minute", "minutes"), ("seconds", 60)),
    **dict.fromkeys(("h", "hour", "hours"), ("seconds", 3600)),
    **dict.fromkeys(("d", "day", "days"), ("seconds", 86400)),
    "runs": ("runs", 1),
    "images": ("images", 1),
}


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """What a study may cost. unit: seconds, runs, or images (training images, each as often as it is trained on)."""

    amount: float
    unit: str


def parse_time(value: object) -> Allowance | None:
    """The allowance of `2h`, `90m`, `5400`, `200runs` or `5e6images`; None for anything else."""
    found = re.fullmatch(r"([0-9.]+(?:e[0-9]+)?) *([a-z]*)", "" if isinstance(value, bool) else str(value))
    try:
        amount = float(found[1]) if found else math.nan
    except ValueError:
        return None
    if found is None or found[2] not in TIME_UNITS or not 0 < amount < math.inf:
        return None
    unit, size = TIME_UNITS[found[2]]
    return Allowance(amount=amount * size, unit=unit)


@dataclass(frozen=True, kw_only=True)
class StudySettings:
    """The node `study`; conf/study/settings/standard.yaml explains each key."""

    kind: str
    title: str
    recipe: str | None
    seeds: Any
    budget: str
    metric: str
    direction: str | None
    level: float
    looks: Any
    smallest_effect: float | None
    time: Any
    only: list[str] | None
    every_slot: bool
    slot: str | None
    reference: str | None
    num_arms: int
    interactions: bool
    forbidden: str
    beside_leave_one_out: bool
    techniques: dict[str, Any]

    def __post_init__(self) -> None:
        require(self.kind in STUDY_KINDS, "kind", self.kind, ", ".join(STUDY_KINDS))
        require(self.budget in BUDGETS, "budget", self.budget, ", ".join(BUDGETS))
        self._require_metric_and_direction()
        require(0.5 < self.level < 1, "level", self.level, "a fraction in (0.5, 1), such as 0.95")
        require(_are_seeds(self.seeds), "seeds", self.seeds, "a count of at least 1, or a list of different seeds ≥ 0")
        require(2 <= self.num_arms <= 100, "num_arms", self.num_arms, "a count in [2, 100]")
        require(self.forbidden in ("refuse", "replace"), "forbidden", self.forbidden, "refuse, replace")
        positive = self.smallest_effect is None or self.smallest_effect > 0
        require(positive, "smallest_effect", self.smallest_effect, "null, or a positive difference of the metric")
        legal = "null, or a positive number of seconds, 90m, 2h, 1d, 200runs or 5e6images"
        require(self.time is None or self.allowance is not None, "time", self.time, legal)
        legal = "null for kind auto, whose size is known after its first stage; --plan tells the range"
        require(self.time is None or self.kind != "auto", "time", self.time, legal)
        if self.looks is not None:
            self._require_looks()
        if self.planned_looks is not None:
            self._require_deciding_looks(self.planned_looks)
        if self.kind in ("null", "auto"):
            are_apart = max(self.seeds) < 1000 if isinstance(self.seeds, list) else self.seeds <= 1000
            what = "in a study of equal arms, which" if self.kind == "null" else "in a study of kind auto, whose stages"
            require(are_apart, "seeds", self.seeds, f"seeds below 1000 {what} are 1000 seeds apart")
        only_main = self.kind != "auto" or not self.interactions
        require(only_main, "interactions", self.interactions, "false for kind auto, which follows main effects")

    @property
    def allowance(self) -> Allowance | None:
        """What the study may cost, if `time` says it."""
        return None if self.time is None else parse_time(self.time)

    @property
    def has_anytime_looks(self) -> bool:
        """Whether the verdicts hold whenever one looks."""
        return bool(self.looks == ANYTIME)

    @property
    def planned_looks(self) -> list[int] | None:
        """The numbers of seeds of looks that are planned."""
        return None if self.looks is None or self.has_anytime_looks else [int(num) for num in self.looks]

    @property
    def higher_is_better(self) -> bool:
        """Whether higher values of the metric are better."""
        known = find_direction(self.metric)
        return self.direction == "maximize" if known is None else known

    def _require_metric_and_direction(self) -> None:
        """Metrics of one's own (evaluation/metrics) need a direction, those of every run have theirs."""
        legal = ", ".join(HIGHER_IS_BETTER)
        if find_direction(self.metric) is not None:
            require(self.direction is None, "direction", self.direction, f"null: that of {self.metric} is known")
            return
        own = self.metric.startswith(("val/", "test/")) and self.direction is not None
        require(
            own, "metric", self.metric, f"{legal}; or val/NAME or test/NAME of evaluation/metrics, with a direction"
        )
        require(self.direction in DIRECTIONS, "direction", self.direction, ", ".join(DIRECTIONS))

    def require_measured(self, choices: Mapping[str, str]) -> None:
        """Check that the runs measure a metric of one's own.

        Raises:
            ConfigError: no further metrics are chosen.
        """
        if self.metric not in HIGHER_IS_BETTER and choices["evaluation/metrics"] == "none":
            raise ConfigError(f"study.metric={self.metric}: no run measures it; choose evaluation/metrics=…, not none")

    def require_among(self, metrics: Mapping[str, Any]) -> None:
        """Check that a run has measured the metric, such as top-5 accuracy, which has no meaning with five classes.

        Raises:
            ConfigError: it has not.
        """
        legal = [name for name in metrics if name.startswith(("val/", "test/"))]
        if metrics.get(self.metric) is None:
            raise ConfigError(
                f"study.metric={self.metric}: the first run has not measured it; {format_legal(self.metric, legal)}"
            )

    def _require_looks(self) -> None:
        counts = self.looks if isinstance(self.looks, list) else []
        are_counts = bool(counts) and all(type(num) is int for num in counts)
        rising = are_counts and all(one < other for one, other in zip([1, *counts], counts, strict=False))
        legal = f"null, {ANYTIME}, or a list of numbers of seeds, each larger than the one before, such as [8, 12, 16]"
        require(rising or self.has_anytime_looks, "looks", self.looks, legal)
        is_tested_once = self.interactions or self.kind in ("pairs", "screening")
        legal = f"null for kind {self.kind}, whose effects are tested once, at the end"
        require(not is_tested_once, "looks", self.looks, legal)

    def _require_deciding_looks(self, looks: list[int]) -> None:
        legal = (
            "more seeds at the last look, so that it can decide: the smallest p-value of n seeds is 2 / 2^n, "
            f"and all looks together spend {1 - self.level:.2g}"
        )
        last_level = compute_look_levels(looks, self.level)[-1]
        require(find_smallest_p_value(looks[-1]) <= last_level, "looks", looks, legal)
        if isinstance(self.seeds, list):
            legal = f"a list of {looks[-1]} seeds, as many as the last look has, or a count"
            require(len(self.seeds) == looks[-1], "seeds", self.seeds, legal)

    def get_test_level(self, num_seeds: int) -> float:
        """Confidence level of the test on `num_seeds` seeds, in (0, 1): with looks, 1 − what that look spends."""
        looks = self.planned_looks
        if looks is None:
            return self.level
        return 1 - compute_look_levels(looks, self.level)[looks.index(num_seeds)]

    def list_seeds(self, first: int) -> list[int]:
        """The seeds of every arm: the listed ones, or from `first` as many as the last look has, or as `seeds` says."""
        if isinstance(self.seeds, list):
            return [int(seed) for seed in self.seeds]
        looks = self.planned_looks
        return list(range(first, first + (looks[-1] if looks else int(self.seeds))))

    def get_chosen_techniques(self) -> list[Technique]:
        """The techniques of `only` in its order, or all of them.

        Raises:
            ConfigError: `only` names an unknown technique, or an entry of `study.techniques` is malformed.
        """
        table = self._techniques()
        for name in self.only or ():
            if name not in table:
                raise ConfigError(f"study.only={name}: no such technique; {format_legal(name, table)}")
        return [table[name] for name in self.only] if self.only is not None else list(table.values())

    def get_absent_techniques(self) -> list[Technique]:
        """The techniques that `only` leaves out: off in every arm of the kinds that start from all off."""
        return [each for name, each in self._techniques().items() if self.only is not None and name not in self.only]

    def _techniques(self) -> dict[str, Technique]:
        return {name: parse_study_technique(name, node) for name, node in self.techniques.items() if node is not None}


def _are_seeds(seeds: object) -> bool:
    if not isinstance(seeds, list):
        return type(seeds) is int and seeds >= 1
    return bool(seeds) and all(type(seed) is int and seed >= 0 for seed in seeds) and len(set(seeds)) == len(seeds)


def parse_study_technique(name: str, node: object) -> Technique:
    """Parse an entry of `study.techniques`.

    Raises:
        ConfigError: a missing or unknown key, or a value of another type.
    """
    legal = ("label", "with", "without", "scaled", "beside", "needs", "given")
    key = f"study.techniques.{name}"
    if not isinstance(node, Mapping):
        raise ConfigError(f"{key}={node}: expected a group with the keys {', '.join(legal)}")
    for part in node:
        if part not in legal:
            raise ConfigError(f"{key}.{part}: no such key; {format_legal(str(part), legal)}")
    scaled = node.get("scaled") or {}
    if not isinstance(scaled, Mapping) or not all(isinstance(value, int | float) for value in scaled.values()):
        raise ConfigError(f"{key}.scaled={scaled}: expected keys with a number each")
    beside = node.get("beside") or {}
    if not isinstance(beside, Mapping):
        raise ConfigError(f"{key}.beside={beside}: expected other techniques with a list of overrides each")
    return Technique(
        name=name,
        label=str(node.get("label") or name.replace("_", " ").capitalize()),
        on=_list_overrides(f"{key}.with", node.get("with")),
        off=_list_overrides(f"{key}.without", node.get("without")),
        scaled={str(scale): float(value) for scale, value in scaled.items()},
        combined_on={str(other): _list_overrides(f"{key}.beside.{other}", both) for other, both in beside.items()},
        needs=None if node.get("needs") is None else str(node["needs"]),
        given=None if node.get("given") is None else str(node["given"]),
    )


def _list_overrides(key: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not all("=" in str(item) for item in value):
        raise ConfigError(f"{key}={value}: expected a list of overrides, [group/slot=option, key=value]")
    return tuple(map(str, value))
