"""One arm in `study.json`: its runs, its paired comparison with a verdict, its calibration, classes and cost."""

import shlex
from collections.abc import Callable
from typing import Any

import numpy as np

from sota_exp.statistics.paired import mean_and_sd, paired_accuracy_difference, paired_difference
from sota_exp.statistics.power import detectable
from sota_exp.statistics.units import METRICS, scale_of
from sota_exp.statistics.verdict import CELL, REFERENCE, Verdict, failed, too_few, verdict
from sota_exp.study.arms import ReadyArm
from sota_exp.study.results import Row, Runs, Study, metric_of
from sota_exp.study.tests_of_arms import Tested

#: FLOPs of a training step over those of its forward pass: the backward pass costs twice as much as the forward pass.
BACKWARD = 3


def arm_row(study: Study, runs: Runs, test: Tested, arm: ReadyArm) -> Row:
    """An entry of `arms`."""
    metric = metric_of(study.settings.metric)
    values = runs.values(arm.name, metric)
    mean, sd = mean_and_sd(list(values.values())) if values else (None, None)
    row: Row = {
        "name": arm.name,
        "label": arm.arm.label,
        "reference": arm.arm.reference,
        "overrides": list(arm.arm.changes),
        "command": shlex.join(["sota-exp", "train", *arm.overrides]),
        "choices": {slot: option for slot, option in arm.configuration.choices.items() if not slot.startswith("study")},
        "differences": arm.differences,
        "seed_offset": arm.arm.seed_offset,
        "runs": {str(seed): place for seed, place in runs.places[arm.name].items()},
        "failures": {str(seed): reason for seed, reason in runs.failures[arm.name].items()},
        "n": len(values),
        "mean": mean,
        "sd": sd,
        "values": {str(seed): value for seed, value in values.items()},
    }
    if arm.arm.reference is None:
        outcome = CELL if arm.arm.is_cell else REFERENCE
        if runs.failures[arm.name] and not values:
            outcome = failed(list(runs.failures[arm.name].values()), 0)
        return (
            row
            | _no_comparison(outcome)
            | {"calibration": _calibration(runs, arm, []), "cost": _cost(runs, arm, [], None)}
        )
    seeds = study.seeds[: test.seeds.get(arm.name, len(study.seeds))]
    differences = runs.differences(arm, metric, seeds)
    paired = list(differences)
    gain = mean_of(differences.values()) if study.settings.metric.endswith("accuracy") else None
    calibration, cost = _calibration(runs, arm, paired), _cost(runs, arm, paired, gain)
    if len(differences) < 2:
        reasons = [*runs.failures[arm.name].values(), *runs.failures[arm.arm.reference].values()]
        outcome = failed(reasons, len(differences)) if reasons else too_few(len(differences))
        return row | _no_comparison(outcome) | {"n": len(differences), "calibration": calibration, "cost": cost}
    return row | _comparison(study, runs, test, arm, differences) | {"calibration": calibration, "cost": cost}


def mean_of(values: Any) -> float | None:
    """The mean; None of no values."""
    found = list(values)
    return float(np.mean(found)) if found else None


def _no_comparison(outcome: Verdict) -> Row:
    absent = ("difference", "interval", "p_value", "p_adjusted", "detectable")
    return {
        **dict.fromkeys(absent),
        "verdict": outcome.word,
        "verdict_words": outcome.sentence,
        "examples": None,
        "classes": {},
    }


def _comparison(study: Study, runs: Runs, test: Tested, arm: ReadyArm, differences: dict[int, float]) -> Row:
    """The paired comparison of an arm with its reference, over the seeds that both have."""
    unit = scale_of(study.settings.metric)
    settings, paired, level = study.settings, list(differences), study.settings.level
    found = paired_difference([0.0] * len(paired), list(differences.values()), level)
    _, sd = mean_and_sd(list(differences.values()))
    smallest = detectable(sd or 0.0, len(paired), len(study.compared), settings.last_level)
    p_adjusted = test.p_adjusted.get(arm.name)
    better = METRICS[settings.metric]
    if p_adjusted is None:
        outcome = Verdict(word="too few seeds", sentence="Too few seeds: the first look is not complete.")
    else:
        outcome = verdict(found.mean, (found.low, found.high), p_adjusted, smallest, len(paired), level, better, unit)
    return {
        "n": len(paired),
        "difference": found.mean,
        "interval": [found.low, found.high],
        "p_value": test.p_values.get(arm.name),
        "p_adjusted": p_adjusted,
        "detectable": smallest,
        "verdict": outcome.word,
        "verdict_words": outcome.sentence,
        "examples": _examples(study, runs, arm, paired),
        "classes": _classes(runs, arm, paired, level),
    }


def _examples(study: Study, runs: Runs, arm: ReadyArm, seeds: list[int]) -> Row | None:
    """The same difference with its interval over test images instead of seeds; None if the metric is no accuracy."""
    if not study.settings.metric.endswith("/accuracy"):
        return None
    own, other = (
        np.mean([runs.correct(name, seed) for seed in seeds], axis=0) for name in (arm.name, str(arm.arm.reference))
    )
    found = paired_accuracy_difference(other, own, study.settings.level)
    won, lost = int((own > other).sum()), int((own < other).sum())
    return {"difference": found.mean, "interval": [found.low, found.high], "won": won, "lost": lost}


def _change(
    runs: Runs, arm: ReadyArm, seeds: list[int], read: Callable[[Row], float | None], level: float = 0.95
) -> Row:
    """The paired difference of a number of the results, and its interval over seeds; None if there are too few."""
    if arm.arm.reference is None or not seeds:
        return {"difference": None, "interval": None}
    found = list(runs.differences(arm, read, seeds).values())
    if len(found) < 2:
        return {"difference": mean_of(found), "interval": None}
    estimate = paired_difference([0.0] * len(found), found, level)
    return {"difference": estimate.mean, "interval": [estimate.low, estimate.high]}


def _calibration(runs: Runs, arm: ReadyArm, seeds: list[int]) -> Row:
    read = metric_of("test/ece")
    return {"ece": mean_of(runs.values(arm.name, read).values()), **_change(runs, arm, seeds, read)}


def _classes(runs: Runs, arm: ReadyArm, seeds: list[int], level: float) -> dict[str, Row]:
    """Class → the change of its test accuracy."""
    names = list(runs.results[arm.name][seeds[0]]["per_class_accuracy"])

    def read_class(name: str) -> Callable[[Row], float | None]:
        return lambda result: result["per_class_accuracy"][name]

    return {name: _change(runs, arm, seeds, read_class(name), level) for name in names}


def _cost(runs: Runs, arm: ReadyArm, seeds: list[int], difference: float | None) -> Row:
    """Mean cost of a run, and the extra training time over the reference.

    difference: gain in accuracy, a fraction; None where the metric is no accuracy.
    """

    def seconds(result: Row) -> float | None:
        return result["seconds"].get("train")

    def mean(key: str) -> float | None:
        return mean_of(runs.values(arm.name, lambda result: result.get(key)).values())

    change = _change(runs, arm, seeds, seconds)
    extra, interval = change["difference"], change["interval"]
    costs_differ = interval is not None and not interval[0] <= 0 <= interval[1]
    means = {key: mean(key) for key in ("flops_per_image", "parameters", "peak_memory_bytes")}
    return {
        "seconds": mean_of(runs.values(arm.name, seconds).values()),
        "seconds_difference": extra,
        "interval": interval,
        "training_flops": mean_of(runs.values(arm.name, lambda result: training_flops(arm, result)).values()),
        **{key: None if value is None else round(value) for key, value in means.items()},
        "points_per_hour": 100 * difference / (extra / 3600) if costs_differ and difference is not None else None,
    }


def training_flops(arm: ReadyArm, result: Row) -> float:
    """FLOPs of the forward and backward passes of all training images, without those of a teacher."""
    forward = result.get("train_flops_per_image")
    if (
        forward is None
    ):  # A result of an earlier version: scaled by the area of the crop, which is not exact where strides round.
        size = result["resolution"]["chosen"]["size"]
        forward = result["flops_per_image"] * (arm.train_size / size) ** 2
    return float(BACKWARD * forward * result["images_seen"])
