"""One arm in `study.json`: its runs, its paired comparison with a verdict, its calibration, classes and cost."""

import math
from operator import itemgetter
from typing import Any

import numpy as np

from sota_exp.config.shell_words import join_command
from sota_exp.statistics.anytime import compute_confidence_sequence
from sota_exp.statistics.interim import InterimResult
from sota_exp.statistics.paired import bonett_price_interval, compute_mean_and_sd, has_spread, paired_t_interval
from sota_exp.statistics.units import SHARE_FORMAT, get_metric_format, is_share_of_images
from sota_exp.statistics.verdict import (
    CELL_VERDICT,
    NO_INTERVAL,
    REFERENCE_VERDICT,
    TOO_FEW_FOR_INTERVAL,
    OnNewImages,
    Verdict,
    combine_detectable,
    judge_difference,
    verdict_for_failed_runs,
    verdict_for_too_few_pairs,
)
from sota_exp.study.arms import ComposedArm
from sota_exp.study.new_images import new_images_to_json
from sota_exp.study.results import JsonObject, NumberReader, PlannedStudy, StudyRuns
from sota_exp.study.study_json_anytime import add_evidence
from sota_exp.study.tested_images import read_correctness

#: FLOPs of a training step over those of its forward pass: the backward pass costs twice as much as the forward pass.
STEP_TO_FORWARD_FLOPS = 3


def build_arm_entry(
    study: PlannedStudy, runs: StudyRuns, test: InterimResult, arm: ComposedArm, on_new: OnNewImages | None
) -> JsonObject:
    """An entry of `arms`. on_new: its difference on new images, where that is known."""
    values = runs.values(arm.name)
    mean, sd = compute_mean_and_sd(list(values.values())) if values else (None, None)
    is_compared, num_seeds = arm.arm.reference is not None, test.seeds.get(arm.name)
    differences = runs.differences(arm, study.seeds[:num_seeds]) if is_compared else {}
    comparison = (
        _comparison_to_json(study, runs, test, arm, differences, on_new)
        if len(differences) > 1
        else _no_comparison_to_json(study, runs, arm, len(differences))
    )
    if study.settings.has_anytime_looks and is_compared:
        comparison = add_evidence(comparison, study, test, arm.name, list(differences.values()))
    gain = compute_mean(differences.values()) if is_share_of_images(study.settings.metric) else None
    return {
        "name": arm.name,
        "label": arm.arm.label,
        "reference": arm.arm.reference,
        "overrides": list(arm.arm.changes),
        "command": join_command(["sota-exp", "train", *study.own_directories, *arm.overrides]),
        "choices": {slot: option for slot, option in arm.configuration.choices.items() if not slot.startswith("study")},
        "differences": arm.differences,
        "seed_offset": arm.arm.seed_offset,
        "runs": {str(seed): place for seed, place in runs.directories[arm.name].items()},
        "failures": {str(seed): reason for seed, reason in runs.failures[arm.name].items()},
        "n": len(differences) if is_compared else len(values),
        "mean": mean,
        "sd": sd,
        "values": {str(seed): value for seed, value in values.items()},
        **comparison,
        "calibration": _calibration_to_json(runs, arm, list(differences), study.settings.level),
        "cost": _cost_to_json(runs, arm, list(differences), study.settings.level, gain),
    }


def compute_mean(values: Any) -> float | None:
    """The mean; None of no values."""
    found = list(values)
    return float(np.mean(found)) if found else None


def _no_comparison_to_json(study: PlannedStudy, runs: StudyRuns, arm: ComposedArm, num_pairs: int) -> JsonObject:
    """The entries of an arm without a reference, or with fewer than two pairs."""
    reference = arm.arm.reference
    reasons = [*runs.failures[arm.name].values(), *(runs.failures[reference].values() if reference else ())]
    if reasons and (reference or not runs.results[arm.name]):
        outcome = verdict_for_failed_runs(reasons, num_pairs)
    elif reference:
        outcome = verdict_for_too_few_pairs(num_pairs, study.count_fewest_seeds())
    else:
        outcome = CELL_VERDICT if arm.arm.is_cell else REFERENCE_VERDICT
    return {
        **dict.fromkeys(("difference", "interval", "p_value", "p_adjusted", "detectable", "new_images")),
        "verdict": outcome.word,
        "verdict_words": outcome.sentence,
        "examples": None,
        "classes": {},
    }


def _comparison_to_json(
    study: PlannedStudy,
    runs: StudyRuns,
    test: InterimResult,
    arm: ComposedArm,
    differences: dict[int, float],
    on_new: OnNewImages | None,
) -> JsonObject:
    """The paired comparison of an arm with its reference, over the seeds that both have."""
    settings, paired, level = study.settings, list(differences), study.settings.level
    better, unit = settings.higher_is_better, get_metric_format(settings.metric)
    values = list(differences.values())
    if settings.has_anytime_looks:
        found = compute_confidence_sequence(values, level, unit.highest)
    else:
        found = paired_t_interval([0.0] * len(paired), values, level, unit.highest)
    interval = (found.low, found.high) if found else None
    mean, sd = compute_mean_and_sd(values)
    smallest = study.find_detectable(sd or 0.0, len(paired), test.seeds.get(arm.name, len(study.seeds)))
    p_adjusted = test.p_adjusted.get(arm.name)
    if p_adjusted is None:
        outcome = Verdict(word="too few seeds", sentence="Too few seeds: the first look is not complete.")
    else:
        reason = TOO_FEW_FOR_INTERVAL if has_spread(values) else NO_INTERVAL
        # Where all arms have effects, they need less evidence each than `smallest` assumes.
        whose = " of one arm alone" if settings.has_anytime_looks else ""
        fewest = study.count_fewest_seeds() if smallest is None else None
        outcome = judge_difference(
            mean, interval, p_adjusted, smallest, len(paired), level, better, unit, reason, whose, on_new, fewest
        )
    return {
        "difference": mean,
        "interval": list(interval) if interval else None,
        "p_value": test.p_values.get(arm.name),
        "p_adjusted": p_adjusted,
        "detectable": combine_detectable(smallest, on_new) if interval and smallest is not None else None,
        "new_images": new_images_to_json(on_new),
        "verdict": outcome.word,
        "verdict_words": outcome.sentence,
        "examples": _examples_to_json(study, runs, arm, paired),
        "classes": _classes_to_json(runs, arm, paired, level),
    }


def _examples_to_json(study: PlannedStudy, runs: StudyRuns, arm: ComposedArm, seeds: list[int]) -> JsonObject | None:
    """The same difference with its interval over test images instead of seeds.

    With folds, over all images that were tested. None if the metric is no accuracy, or the arms scored other images.
    """
    reference = next(each for each in study.arms.ready if each.name == arm.arm.reference)
    is_accuracy = study.settings.metric.endswith("/accuracy")
    pooled = read_correctness(runs, arm, reference, seeds) if is_accuracy else None
    if pooled is None:
        return None
    own, other, groups = pooled
    found = bonett_price_interval(other, own, study.settings.level, groups)
    gains = own.sum(axis=0) - other.sum(axis=0)
    won, lost = int((gains > 0).sum()), int((gains < 0).sum())
    return {"difference": found.mean, "interval": [found.low, found.high], "won": won, "lost": lost}


def _change_to_json(
    runs: StudyRuns,
    arm: ComposedArm,
    seeds: list[int],
    read: NumberReader,
    level: float,
    largest: float = SHARE_FORMAT.highest,
) -> JsonObject:
    """The paired difference of a number of the results, a share if nothing else is said, and its interval over seeds.

    The interval is None if there are too few seeds, or all differences are equal.
    """
    found = list(runs.differences(arm, seeds, read).values()) if seeds else []
    estimate = paired_t_interval([0.0] * len(found), found, level, largest) if len(found) > 1 else None
    return {"difference": compute_mean(found), "interval": [estimate.low, estimate.high] if estimate else None}


def _calibration_to_json(runs: StudyRuns, arm: ComposedArm, seeds: list[int], level: float) -> JsonObject:
    def read(result: JsonObject) -> float | None:
        return result["metrics"].get("test/ece")

    return {"ece": compute_mean(runs.values(arm.name, read).values()), **_change_to_json(runs, arm, seeds, read, level)}


def _classes_to_json(runs: StudyRuns, arm: ComposedArm, seeds: list[int], level: float) -> dict[str, JsonObject]:
    """Class → the change of its test accuracy."""
    names = list(runs.results[arm.name][seeds[0]]["per_class_accuracy"])

    def read_class(name: str) -> NumberReader:
        return lambda result: result["per_class_accuracy"][name]

    return {name: _change_to_json(runs, arm, seeds, read_class(name), level) for name in names}


def _cost_to_json(
    runs: StudyRuns, arm: ComposedArm, seeds: list[int], level: float, difference: float | None
) -> JsonObject:
    """Mean cost of a run, and the extra training time over the reference.

    difference: gain in accuracy, a fraction; None where the metric is no accuracy.
    """

    def seconds(result: JsonObject) -> float | None:
        return result["seconds"].get("train")

    def mean(read: NumberReader) -> float | None:
        return compute_mean(runs.values(arm.name, read).values())

    change = _change_to_json(runs, arm, seeds, seconds, level, largest=math.inf)
    extra, interval = change["difference"], change["interval"]
    costs_differ = interval is not None and not interval[0] <= 0 <= interval[1]
    means = {key: mean(itemgetter(key)) for key in ("flops_per_image", "parameters", "peak_memory_bytes")}
    return {
        "seconds": mean(seconds),
        "seconds_difference": extra,
        "interval": interval,
        "training_flops": mean(compute_training_flops),
        **{key: None if value is None else round(value) for key, value in means.items()},
        "points_per_hour": 100 * difference / (extra / 3600) if costs_differ and difference is not None else None,
    }


def compute_training_flops(result: JsonObject) -> float:
    """FLOPs of the forward and backward passes of all training images, without those of a teacher."""
    return float(STEP_TO_FORWARD_FLOPS * result["train_flops_per_image"] * result["images_seen"])
