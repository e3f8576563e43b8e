"""The content of `study.json`, computed from the arms and the result files alone.

Apart from times and memory, which are under `cost` only, it is bitwise equal however often the study was interrupted.
"""

import functools
from collections.abc import Mapping
from dataclasses import replace

from sota_exp.config.formats import FILE_FORMAT
from sota_exp.statistics.interim import InterimResult, compute_look_levels
from sota_exp.statistics.power import DEFAULT_POWER
from sota_exp.study.chance import describe_chance_level
from sota_exp.study.new_images import compare_on_new_images
from sota_exp.study.results import JsonObject, PlannedStudy, StudyRuns
from sota_exp.study.saved import build_saved
from sota_exp.study.study_json_anytime import build_anytime_looks, build_costs_of_looks
from sota_exp.study.study_json_arms import build_arm_entry
from sota_exp.study.study_json_effects import build_effect_entry, build_pair_interactions, estimate_screening_effects
from sota_exp.study.study_json_next import build_next
from sota_exp.study.study_json_power import build_power_table, estimate_study_noise
from sota_exp.study.tested_images import count_tested
from sota_exp.study.verdicts import find_wanted_seeds, run_arm_tests


def build_study_json(study: PlannedStudy, runs: StudyRuns) -> JsonObject:
    """The content of `study.json`."""
    settings, first = study.settings, runs.first
    runs = replace(runs, correct=functools.cache(runs.correct))  # each contrast of a run reads it
    test = run_arm_tests(study, runs)
    design_effects, effect_notes = estimate_screening_effects(study, runs)
    on_new = compare_on_new_images(study, runs, test, design_effects)
    arms = [build_arm_entry(study, runs, test, arm, on_new.get(arm.name)) for arm in study.arms.ready]
    wanted, noise = find_wanted_seeds(study, test), estimate_study_noise(study, runs)
    missing = list_missing(study, runs, wanted)
    plan = build_power_table(study, runs, noise)
    if settings.has_anytime_looks:
        plan |= build_costs_of_looks(study, plan)
    if study.time_plan is not None:
        plan |= {"time": study.time_plan}
    found = {
        "format": FILE_FORMAT,
        "kind": settings.kind,
        "name": study.name,
        "title": settings.title,
        "warning": describe_chance_level(study, runs),
        "recipe": study.recipe,
        "data": study.data,
        "metric": settings.metric,
        "higher_is_better": settings.higher_is_better,
        "level": settings.level,
        "power": DEFAULT_POWER,
        "seeds": list(study.seeds),
        "budget": settings.budget,
        "length": study.describe_length(),
        "command": study.command,
        "classes": list(first["per_class_accuracy"]) if first else [],
        **count_tested(runs, study.seeds),
        "environment": {key: first[key] if first else None for key in ("device", "commit", "versions")},
        "arms": arms,
        "refused": [{"name": name, "reason": reason} for name, reason in study.arms.refused],
        "rules": [{"arm": arm.name, "message": text} for arm in study.arms.ready for text in arm.warnings],
        "effects": [build_effect_entry(study, effect, on_new) for effect in design_effects if len(effect.factors) == 1],
        "interactions": [
            *[build_effect_entry(study, effect, on_new) for effect in design_effects if len(effect.factors) == 2],
            *build_pair_interactions(study, runs, test, on_new),
        ],
        "looks": _looks_to_json(study, test),
        "plan": plan,
        "notes": [*study.notes, *([study.budget_note] if study.budget_note else []), *effect_notes],
        "status": "partial" if missing else "complete",
        "missing": missing,
        "saved": build_saved(study, runs, test, wanted),
    }
    return found | {"next": build_next(study, runs, found, noise)}


def list_missing(study: PlannedStudy, runs: StudyRuns, wanted: Mapping[str, set[int]]) -> list[JsonObject]:
    """Every planned run that is not finished. wanted: by `find_wanted_seeds`, without those after a verdict."""
    return [
        {"arm": arm.name, "seed": seed, "reason": runs.failures[arm.name].get(seed, "not run yet")}
        for arm in study.arms.ready
        for seed in study.seeds
        if seed in wanted[arm.name] and seed not in runs.results[arm.name]
    ]


def _looks_to_json(study: PlannedStudy, test: InterimResult) -> JsonObject | None:
    looks = study.settings.planned_looks
    if looks is None:
        return build_anytime_looks(study, test) if study.settings.has_anytime_looks else None
    planned = compute_look_levels(looks, study.settings.level)
    return {
        "planned": looks,
        "alpha_planned": planned,
        "done": test.done,
        "alpha_spent": planned[: len(test.done)],
        "decided": test.decided,
    }
