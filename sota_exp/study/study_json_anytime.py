"""Looks at any time in `study.json`: the evidence of each arm, what would decide it, the cost of each kind of looks."""

from dataclasses import asdict
from typing import Any

from sota_exp.statistics.interim import InterimResult
from sota_exp.statistics.paired import has_spread
from sota_exp.statistics.power import find_detectable_difference
from sota_exp.statistics.stopping import compute_costs_of_looks, estimate_further_seeds
from sota_exp.statistics.verdict import describe_further_seeds
from sota_exp.study.results import JsonObject, PlannedStudy

#: Without `smallest_effect`, a plan of fewer seeds takes the effect that so many show.
LEAST_PLANNED_SEEDS = 8


def build_anytime_looks(study: PlannedStudy, test: InterimResult) -> JsonObject:
    """The entry `looks`; done: seeds after which every open arm was tested. threshold: the evidence of a verdict."""
    return {
        "kind": study.settings.looks,
        "threshold": compute_threshold(study),
        "done": test.done[-1:],
        "decided": test.decided,
    }


def compute_threshold(study: PlannedStudy) -> float:
    """The evidence that decides an arm, 1 / (1 − level)."""
    return round(1 / (1 - study.settings.level), 9)


def add_evidence(
    comparison: JsonObject, study: PlannedStudy, test: InterimResult, name: str, differences: list[float]
) -> JsonObject:
    """The comparison of an arm with its evidence after each seed, and the further seeds that would decide it.

    further_seeds: None where it is decided, or where that is unknown or too far away.
    """
    evidence = test.evidence.get(name, [])
    found: dict[str, Any] = {"evidence": evidence, "further_seeds": None}
    is_open = test.p_adjusted.get(name, 0.0) > 1 - study.settings.level
    if is_open and has_spread(differences):
        further = estimate_further_seeds(differences, compute_threshold(study) / evidence[-1])
        words = f"{comparison['verdict_words']} {describe_further_seeds(further)}"
        found |= {"further_seeds": further, "verdict_words": words}
    return comparison | found


def build_costs_of_looks(study: PlannedStudy, power: JsonObject) -> JsonObject:
    """Entries of `plan`: the effect of interest, and the seeds per arm of each kind of looks that show it.

    power: that of `build_power_table`. Empty for a screening design, which has no looks, and
    where the noise is unknown.
    """
    if study.blueprint.design is not None or power["sd_assumed"] is None:
        return {}
    settings, sd, num = study.settings, power["sd_assumed"], study.num_tests
    least = max(len(study.seeds), LEAST_PLANNED_SEEDS)
    effect = settings.smallest_effect or find_detectable_difference(sd, least, num, settings.level)
    if effect is None:
        return {}
    costs = compute_costs_of_looks(effect / sd, num, settings.level, settings.planned_looks)
    return {"effect": effect, "looks": [asdict(cost) for cost in costs]}
