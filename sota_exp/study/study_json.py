"""The content of `study.json`, computed from the arms and the result files alone.

Apart from times and memory, which are under `cost` only, it is bitwise equal however often the study was interrupted.
"""

import functools
from dataclasses import replace

import numpy as np

from sota_exp.config.formats import FILE_FORMAT
from sota_exp.statistics.interim import InterimResult, compute_look_levels
from sota_exp.statistics.paired import has_spread
from sota_exp.statistics.power import (
    DEFAULT_POWER,
    assume_difference_sd,
    find_detectable_main_effect,
    find_num_seeds,
)
from sota_exp.statistics.stopping import MAX_SIMULATED_SEEDS, find_num_anytime_seeds
from sota_exp.study.chance import describe_chance_level
from sota_exp.study.new_images import compare_on_new_images
from sota_exp.study.results import JsonObject, PlannedStudy, StudyRuns
from sota_exp.study.study_json_anytime import build_anytime_looks, build_costs_of_looks
from sota_exp.study.study_json_arms import build_arm_entry
from sota_exp.study.study_json_effects import build_effect_entry, build_pair_interactions, estimate_screening_effects
from sota_exp.study.tested_images import count_tested
from sota_exp.study.verdicts import find_wanted_seeds, run_arm_tests

#: Numbers of seeds and effects (fractions) in the table of statistical power.
POWER_TABLE_SEEDS, POWER_TABLE_EFFECTS = (4, 6, 8, 10, 12, 16, 24, 32), (0.001, 0.002, 0.005, 0.01, 0.02)


def build_study_json(study: PlannedStudy, runs: StudyRuns) -> JsonObject:
    """The content of `study.json`."""
    settings, first = study.settings, runs.first
    runs = replace(runs, correct=functools.cache(runs.correct))  # each contrast of a run reads it
    test = run_arm_tests(study, runs)
    design_effects, effect_notes = estimate_screening_effects(study, runs)
    on_new = compare_on_new_images(study, runs, test, design_effects)
    arms = [build_arm_entry(study, runs, test, arm, on_new.get(arm.name)) for arm in study.arms.ready]
    missing = _list_missing(study, runs, test)
    plan = build_power_table(study, runs)
    if settings.has_anytime_looks:
        plan |= build_costs_of_looks(study, plan)
    return {
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
        "command": study.command,
        "classes": list(first["per_class_accuracy"]) if first else [],
        "num_test": count_tested(runs, study.seeds),
        "num_test_per_run": first["evaluated_images"]["test"] if first else None,
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
        "notes": [*study.blueprint.notes, *([study.budget_note] if study.budget_note else []), *effect_notes],
        "status": "partial" if missing else "complete",
        "missing": missing,
    }


def _list_missing(study: PlannedStudy, runs: StudyRuns, test: InterimResult) -> list[JsonObject]:
    """Every planned run that is not finished. Seeds after the look that decided an arm are not planned."""
    wanted = find_wanted_seeds(study, test)
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


def build_power_table(study: PlannedStudy, runs: StudyRuns, expected_num_test: int | None = None) -> JsonObject:
    """Statistical power: what each number of seeds can detect.

    The standard deviation of differences is that of this study, or an assumed one as long as there are too few.
    expected_num_test: number of test images, for a study without results.
    """
    num_test = runs.first["evaluated_images"]["test"] if runs.first else expected_num_test
    level = study.get_test_level(len(study.seeds))
    samples = [list(runs.differences(arm, study.seeds).values()) for arm in study.compared]
    samples = [sample for sample in samples if len(sample) > 2]
    samples = samples if any(map(has_spread, samples)) else []
    sd, source = 0.01, "an assumption: one point"
    if samples:
        squares = sum(np.var(sample, ddof=1) * (len(sample) - 1) for sample in samples)
        sd = float(np.sqrt(squares / sum(len(sample) - 1 for sample in samples)))
        source = f"this study's {sum(map(len, samples))} differences"
    elif num_test:
        sd, source = assume_difference_sd(num_test), f"an assumption: a fifth of {num_test:,} test images change sides"
    power = {"sd_assumed": sd, "sd_source": source}
    if (design := study.blueprint.design) is not None:
        cells, factors = design.shape
        level = 1 - (1 - study.settings.level) / study.num_families_of_effects
        num = factors * (factors + 1) // 2 if study.settings.interactions else factors
        effects = {
            str(seeds): find_detectable_main_effect(sd, cells, seeds, num, level)
            for seeds in sorted({1, 2, 3, 4, 6, 8, len(study.seeds)})
        }
        return power | {"num_tests": num, "detectable_effect": effects}
    seeds, tests = sorted({*POWER_TABLE_SEEDS, len(study.seeds)}), study.num_tests
    power |= {"most_seeds": MAX_SIMULATED_SEEDS} if study.settings.has_anytime_looks else {}
    return power | {
        "num_tests": tests,
        "detectable": {str(num): study.find_detectable(sd, num, len(study.seeds)) for num in seeds},
        "seeds_needed": {
            str(effect): find_num_anytime_seeds(effect / sd, tests, level)
            if study.settings.has_anytime_looks
            else find_num_seeds(effect, sd, tests, level)
            for effect in POWER_TABLE_EFFECTS
        },
    }
