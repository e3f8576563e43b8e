"""Effects in `study.json` from several arms: those of a screening design, and interactions of two techniques."""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from sota_exp.statistics.effects import Effect, compute_effects
from sota_exp.statistics.interim import InterimResult
from sota_exp.statistics.paired import paired_t_interval
from sota_exp.statistics.sign_flip import find_smallest_p_value
from sota_exp.statistics.units import get_metric_format
from sota_exp.statistics.verdict import OnNewImages, Verdict, describe_fewest, describe_interval, describe_shown
from sota_exp.study.new_images import new_images_to_json
from sota_exp.study.results import JsonObject, PlannedStudy, StudyRuns
from sota_exp.study.verdicts import compute_pair_interactions


def estimate_screening_effects(study: PlannedStudy, runs: StudyRuns) -> tuple[list[Effect], list[str]]:
    """The effects of a screening design, and notes: the reason if too few cells are finished for effects."""
    blueprint = study.blueprint
    if blueprint.design is None:
        return [], []
    ready = {arm.name for arm in study.arms.ready}
    cells = [arm.name for arm in blueprint.arms if arm.is_cell]
    values = [runs.values(name) if name in ready else {} for name in cells]
    table = np.array([[found.get(seed, np.nan) for seed in study.seeds] for found in values])
    try:
        names, with_pairs = tuple(blueprint.factors), study.settings.interactions
        effects = compute_effects(names, blueprint.design, table, with_pairs, study.settings.level)
        num = study.num_families_of_effects
        return [replace(effect, p_adjusted=min(1.0, num * effect.p_adjusted)) for effect in effects], []
    except ValueError as error:
        return [], [f"No effects yet: {error}."]


def build_effect_entry(study: PlannedStudy, effect: Effect, on_new: Mapping[str, OnNewImages]) -> JsonObject:
    """An entry of `effects` or `interactions`. on_new: by the factors, joined by ` × `."""
    better = study.settings.higher_is_better
    significant = effect.p_adjusted <= 1 - study.settings.level
    unit, level, beyond = (
        get_metric_format(study.settings.metric),
        study.settings.level,
        on_new.get(" × ".join(effect.factors)),
    )
    mean = unit.format_difference_with_unit(effect.estimate)
    size = f"{mean}, {describe_interval(effect.interval, level, unit)}"
    headline = size
    if beyond is not None and beyond.interval is not None:
        headline = f"{mean}, {describe_interval(beyond.interval, level, unit)} in new runs on new images"
    verdict = Verdict(word="cannot be distinguished", sentence=f"Cannot be distinguished from no effect: {headline}.")
    if significant:
        verdict = describe_shown((effect.estimate > 0) == better, mean, size, level, unit, beyond)
    labels = {arm.name: arm.label for arm in study.blueprint.arms} | dict(study.blueprint.factors)
    which = {"factor": effect.factors[0]} if len(effect.factors) == 1 else {"factors": list(effect.factors)}
    return {
        **which,
        "label": " × ".join(labels.get(name, name) for name in effect.factors),
        "estimate": effect.estimate,
        "interval": list(effect.interval) if effect.interval else None,
        "p_value": effect.p_value,
        "p_adjusted": effect.p_adjusted,
        "new_images": new_images_to_json(beyond),
        "verdict": verdict.word,
        "verdict_words": verdict.sentence,
        "aliases": list(effect.aliases),
    }


def build_pair_interactions(
    study: PlannedStudy, runs: StudyRuns, test: InterimResult, on_new: Mapping[str, OnNewImages]
) -> list[JsonObject]:
    """The interactions of a study of pairs: paired over seeds; `test` is the joint test of the study."""
    rows = []
    for name, differences in compute_pair_interactions(study, runs).items():
        if name not in test.p_values:
            continue
        values = list(differences.values())
        estimate = paired_t_interval([0.0] * len(values), values, study.settings.level)
        effect = Effect(
            factors=study.interactions[name],
            estimate=float(np.mean(values)),
            interval=(estimate.low, estimate.high) if estimate else None,
            p_value=test.p_values[name],
            p_adjusted=test.p_adjusted[name],
            standard_error=float(np.std(values, ddof=1)) / math.sqrt(len(values)),
            df=len(values) - 1,
            aliases=(),
        )
        row = build_effect_entry(study, effect, on_new)
        smallest = find_smallest_p_value(len(values))
        if smallest > 1 - study.settings.level:
            sentence = f"Too few seeds for a verdict: the smallest p-value of {len(values)} is {smallest:.2g}."
            sentence += describe_fewest(study.count_fewest_seeds())
            row |= {"verdict": "too few seeds", "verdict_words": sentence}
        rows.append(row)
    return rows
