"""Effects in `study.json` from several arms: those of a screening design, and interactions of two techniques."""

import numpy as np

from sota_exp.statistics.effects import Effect, compute_effects
from sota_exp.statistics.interim import build_difference_matrix
from sota_exp.statistics.paired import paired_t_interval
from sota_exp.statistics.sign_flip import find_smallest_p_value, sign_flip_test
from sota_exp.statistics.units import get_metric_format
from sota_exp.study.plan import BASELINE_ARM
from sota_exp.study.results import JsonObject, PlannedStudy, StudyRuns


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
        return compute_effects(names, blueprint.design, table, with_pairs, study.settings.level), []
    except ValueError as error:
        return [], [f"No effects yet: {error}."]


def build_effect_entry(study: PlannedStudy, effect: Effect) -> JsonObject:
    """An entry of `effects` or `interactions`."""
    better = study.settings.higher_is_better
    significant = effect.p_adjusted <= 1 - study.settings.level
    verdict = ("helps" if (effect.estimate > 0) == better else "hurts") if significant else "cannot be distinguished"
    unit = get_metric_format(study.settings.metric)
    span = unit.span(effect.low, effect.high)
    size = f"{unit.format_difference_with_unit(effect.estimate)}, {study.settings.level:.0%} interval {span}"
    sentence = f"{verdict.capitalize()}{'' if significant else ' from no effect'}: {size}."
    labels = {arm.name: arm.label for arm in study.blueprint.arms} | dict(study.blueprint.factors)
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
    results = {arm.name: runs.values(arm.name) for arm in study.arms.ready}
    found: dict[tuple[str, str], dict[int, float]] = {}
    for pair in study.blueprint.pairs:
        parts = [results.get(name, {}) for name in ("+".join(pair), *pair, BASELINE_ARM)]
        both, first, second, neither = parts
        common = [seed for seed in study.seeds if all(seed in part for part in parts)]
        if len(common) > 1:
            found[pair] = {seed: both[seed] - first[seed] - second[seed] + neither[seed] for seed in common}
    joint = sign_flip_test(build_difference_matrix(found, list(found), study.seeds))
    rows = []
    for (pair, values), own, adjusted in zip(found.items(), joint.p_values, joint.p_adjusted, strict=True):
        estimate = paired_t_interval([0.0] * len(values), list(values.values()), study.settings.level)
        effect = Effect(
            factors=pair,
            estimate=estimate.mean,
            low=estimate.low,
            high=estimate.high,
            p_value=own,
            p_adjusted=adjusted,
            aliases=(),
        )
        row = build_effect_entry(study, effect)
        smallest = find_smallest_p_value(len(values))
        if smallest > 1 - study.settings.level:
            sentence = f"Too few seeds for a verdict: the smallest p-value of {len(values)} is {smallest:.2g}."
            row |= {"verdict": "too few seeds", "verdict_words": sentence}
        rows.append(row)
    return rows
