"""The content of `study.json`, computed from the arms and the result files alone.

Apart from times and memory, which are under `cost` only, it is bitwise equal however often the study was interrupted.
"""

import numpy as np

from sota_exp.config.formats import FORMAT
from sota_exp.statistics.interim import Looked, spent_at
from sota_exp.statistics.power import POWER, assumed_sd, detectable, detectable_effect, seeds_needed
from sota_exp.study.results import Row, Runs, Study, metric_of
from sota_exp.study.settings import Settings
from sota_exp.study.study_json_arms import arm_row
from sota_exp.study.study_json_effects import effect_row, of_pairs, screened
from sota_exp.study.tests_of_arms import Tested, tested, wanted_seeds

#: Numbers of seeds and effects (fractions) in the table of statistical power.
PLANNED_SEEDS, PLANNED_EFFECTS = (4, 6, 8, 10, 12, 16, 24, 32), (0.001, 0.002, 0.005, 0.01, 0.02)


def outcome(study: Study, runs: Runs) -> Row:
    """The content of `study.json`."""
    settings = study.settings
    test = tested(study, runs)
    arms = [arm_row(study, runs, test, arm) for arm in study.arms.ready]
    design_effects, effect_notes = screened(study, runs)
    first = next((result for arm in study.arms.ready for result in runs.results[arm.name].values()), None)
    missing = _missing(study, runs, test)
    return {
        "format": FORMAT,
        "kind": settings.kind,
        "name": study.name,
        "title": settings.title,
        "recipe": study.recipe,
        "data": study.data,
        "metric": settings.metric,
        "level": settings.level,
        "power": POWER,
        "seeds": list(study.seeds),
        "budget": settings.budget,
        "command": study.command,
        "classes": list(first["per_class_accuracy"]) if first else [],
        "num_test": first["evaluated_images"]["test"] if first else None,
        "environment": _environment(first),
        "arms": arms,
        "refused": [{"name": name, "reason": reason} for name, reason in study.arms.refused],
        "rules": [{"arm": arm.name, "message": text} for arm in study.arms.ready for text in arm.warnings],
        "effects": [effect_row(study, effect) for effect in design_effects if len(effect.factors) == 1],
        "interactions": [
            *[effect_row(study, effect) for effect in design_effects if len(effect.factors) == 2],
            *of_pairs(study, runs),
        ],
        "looks": _looks(settings, test.looked),
        "plan": plan_of(study, runs, first["evaluated_images"]["test"] if first else None),
        "notes": [*study.blueprint.notes, *([study.budget_note] if study.budget_note else []), *effect_notes],
        "status": "partial" if missing else "complete",
        "missing": missing,
    }


def _environment(result: Row | None) -> Row:
    """Versions, device and commit of the first run of the first arm."""
    if result is None:
        return {"versions": {}, "device": None, "commit": None, "python": None}
    versions = {name: number for name, number in result["versions"].items() if name != "python"}
    return {
        "versions": versions,
        "device": result["device"],
        "commit": result["commit"],
        "python": result["versions"].get("python"),
    }


def _missing(study: Study, runs: Runs, test: Tested) -> list[Row]:
    """Every planned run that is not finished. Seeds after the look that decided an arm are not planned."""
    wanted = wanted_seeds(study, test)
    return [
        {"arm": arm.name, "seed": seed, "reason": runs.failures[arm.name].get(seed, "not run yet")}
        for arm in study.arms.ready
        for seed in study.seeds
        if seed in wanted[arm.name] and seed not in runs.results[arm.name]
    ]


def _looks(settings: Settings, looked: Looked | None) -> Row | None:
    if looked is None or settings.looks is None:
        return None
    planned = spent_at(settings.looks, settings.level)
    return {
        "planned": settings.looks,
        "alpha_planned": planned,
        "done": looked.done,
        "alpha_spent": planned[: len(looked.done)],
        "decided": looked.decided,
    }


def plan_of(study: Study, runs: Runs, num_test: int | None) -> Row:
    """Statistical power: what each number of seeds can detect.

    The standard deviation of differences is that of this study, or an assumed one as long as there are too few.
    """
    metric, level = metric_of(study.settings.metric), study.settings.last_level
    spreads = []
    for arm in study.compared:
        found = list(runs.differences(arm, metric, study.seeds).values())
        if len(found) > 2:
            spreads.append((np.var(found, ddof=1), len(found) - 1))
    sd, source = 0.01, "an assumption: one point"
    if spreads:
        sd = float(np.sqrt(sum(variance * df for variance, df in spreads) / sum(df for _, df in spreads)))
        source = f"this study's {sum(df + 1 for _, df in spreads)} differences"
    elif num_test:
        sd, source = assumed_sd(num_test), f"an assumption: a fifth of {num_test:,} test images change sides"
    arms = max(1, len(study.compared))
    seeds = sorted({*PLANNED_SEEDS, len(study.seeds)})
    design = study.blueprint.design
    if design is not None:
        return {
            "sd_assumed": sd,
            "sd_source": source,
            "num_factors": len(study.blueprint.factors),
            "detectable_effect": {
                str(num): detectable_effect(sd, len(design), num, len(study.blueprint.factors), level)
                for num in sorted({1, 2, 3, 4, 6, 8, len(study.seeds)})
            },
        }
    return {
        "sd_assumed": sd,
        "sd_source": source,
        "num_arms": arms,
        "detectable": {str(num): detectable(sd, num, arms, level) for num in seeds},
        "seeds_needed": {str(effect): seeds_needed(effect, sd, arms, level) for effect in PLANNED_EFFECTS},
    }
