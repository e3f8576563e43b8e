"""Effects in `study.json` from several arms: those of a screening design, and interactions of two techniques."""

from typing import Any

import numpy as np

from sota_exp.statistics.effects import Effect, compute_effects
from sota_exp.statistics.paired import paired_t_interval
from sota_exp.statistics.sign_flip import find_smallest_p_value, sign_flip_test
from sota_exp.statistics.units import HIGHER_IS_BETTER, get_metric_format
from sota_exp.study.results import JsonObject, PlannedStudy, StudyRuns, make_metric_reader


def estimate_screening_effects(study: PlannedStudy, runs: StudyRuns) -> tuple[list[Effect], list[str]]:
    """The effects of a screening design, and notes: the reason if too few cells are finished for effects."""
    blueprint = study.blueprint
    if blueprint.design is None:
        return [], []
    metric = make_metric_reader(study.settings.metric)
    names = {arm.name for arm in study.arms.ready}
    cells = [arm.name for arm in blueprint.arms if arm.is_cell]
    values = [runs.values(name, metric) if name in names else {} for name in cells]
    table = np.array([[found.get(seed, np.nan) for seed in study.seeds] for found in values])
    try:
        return compute_effects(
            blueprint.factors, blueprint.design, table, blueprint.with_pairs, study.settings.level
        ), []
    except ValueError as error:
        return [], [f"No effects yet: {error}."]


def build_effect_entry(study: PlannedStudy, effect: Effect) -> JsonObject:
    """An entry of `effects` or `interactions`."""
    better = HIGHER_IS_BETTER[study.settings.metric]
    significant = effect.p_adjusted <= 1 - study.settings.level
    verdict = ("helps" if (effect.estimate > 0) == better else "hurts") if significant else "cannot be distinguished"
    unit = get_metric_format(study.settings.metric)
    span = unit.span(effect.low, effect.high)
    size = f"{unit.format_difference_with_unit(effect.estimate)}, {study.settings.level:.0%} interval {span}"
    sentence = f"{verdict.capitalize()}{'' if significant else ' from no effect'}: {size}."
    labels = {arm.name: arm.label for arm in study.blueprint.arms} | dict(study.blueprint.labels)
    which = {"factor": effect.factors[0]} if len(effect.factors) == 1 else {"factors": list(effect.factors)}
    return {
        **which,
        "label": " × ".join(labels.get(name, name) for name in effect.factors),
        "estimate": effect.estimate,
        "interval": [effect.low, effect.high],
        "p_value": effect.p_value,
        "p_adjusted": effect.p_adjusted,
        "verdict": verdict,
        "verdict_words": sentence,
        "aliases": list(effect.aliases),
    }


def build_pair_interactions(study: PlannedStudy, runs: StudyRuns) -> list[JsonObject]:
    """The interactions of a study of pairs: paired over seeds, and tested jointly."""
    names = {arm.name for arm in study.arms.ready}
    found: list[tuple[Any, dict[int, float]]] = []
    for item in study.blueprint.interactions:
        if not {item.both, item.first, item.second, item.neither} <= names:
            continue
        parts = [
            runs.values(name, make_metric_reader(study.settings.metric))
            for name in (item.both, item.first, item.second, item.neither)
        ]
        common = [seed for seed in study.seeds if all(seed in part for part in parts)]
        both, first, second, neither = parts
        found.append((item, {seed: both[seed] - first[seed] - second[seed] + neither[seed] for seed in common}))
    enough = [(item, values) for item, values in found if len(values) > 1]
    if not enough:
        return []
    joint = sign_flip_test([[values.get(seed, np.nan) for _, values in enough] for seed in study.seeds])
    rows = []
    for (item, values), own, adjusted in zip(enough, joint.p_values, joint.p_adjusted, strict=True):
        estimate = paired_t_interval([0.0] * len(values), list(values.values()), study.settings.level)
        effect = Effect(
            factors=item.factors,
            estimate=estimate.mean,
            low=estimate.low,
            high=estimate.high,
            p_value=own,
            p_adjusted=adjusted,
            aliases=(),
        )
        row = build_effect_entry(study, effect)
        if find_smallest_p_value(len(values)) > 1 - study.settings.level:
            smallest = find_smallest_p_value(len(values))
            sentence = f"Too few seeds for a verdict: the smallest p-value of {len(values)} is {smallest:.2g}."
            row |= {"verdict": "too few seeds", "verdict_words": sentence}
        rows.append(row)
    return rows
