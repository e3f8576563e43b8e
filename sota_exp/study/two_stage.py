"""A study of two stages: a screening design picks out techniques, then leave-one-out tests those alone.

Stage 1 trains every cell once and gives no verdicts. It is scored on val, and its runs have seeds of their own, so that
neither the runs nor, without folds, the test images of stage 2 played a part in the choice: the joint test over the
followed arms keeps the error of the study. Main effects and leave-one-out differ where techniques interact, which is
why the two stages are not pooled. The choice is written once, to `followed.json`; later seeds do not change it.
"""

import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sota_exp.config.formats import FILE_FORMAT
from sota_exp.config.hashing import compute_digest
from sota_exp.errors import ConfigError
from sota_exp.report.numbers import format_count, join_with_and
from sota_exp.runs.atomic import write_text
from sota_exp.runs.digests import try_read_json
from sota_exp.statistics.effects import Effect
from sota_exp.statistics.selection import FOLLOW_LEVEL, select_effects
from sota_exp.statistics.units import get_metric_format
from sota_exp.statistics.verdict import describe_interval
from sota_exp.study.chance import describe_chance_level
from sota_exp.study.files import StudyFiles
from sota_exp.study.plan import ARM_SEED_DISTANCE, FULL_ARM, StudyDesign
from sota_exp.study.results import JsonObject, PlannedStudy, StudyRuns
from sota_exp.study.saved import add_stages, count_trainings
from sota_exp.study.study_json import build_study_json, list_missing
from sota_exp.study.study_json_effects import estimate_screening_effects

#: The file with the choice of stage 1.
CHOICE = "followed.json"

#: Trains what is missing of a study, and returns its content of `study.json`, which the function builds.
Train = Callable[[PlannedStudy, Callable[[PlannedStudy, StudyRuns], JsonObject]], JsonObject]

NOTE = (
    f"Two stages: one run per cell of the design, scored on val, follows the techniques with p ≤ {FOLLOW_LEVEL:g} of "
    "their own. Verdicts come from leaving these out, on other seeds and scored as asked. A technique that is not "
    "followed may have an effect."
)


def plan_two_stages(screening: StudyDesign) -> StudyDesign:
    """The arms of both stages, from a screening design with leave-one-out arms beside it: cells get other seeds."""
    arms = [replace(arm, seed_offset=ARM_SEED_DISTANCE) if arm.is_cell else arm for arm in screening.arms]
    return replace(screening, arms=tuple(arms), notes=(NOTE, *screening.notes))


def take_first_stage(study: PlannedStudy) -> PlannedStudy:
    """The cells, with the seed of the configuration, whatever seeds stage 2 has."""
    cells = _take(study, study.blueprint, [arm.name for arm in study.blueprint.arms if arm.is_cell])
    settings = replace(study.settings, metric=f"val/{study.settings.metric.split('/')[1]}", looks=None)
    return replace(cells, settings=settings, seeds=(int(cells.arms.ready[0].configuration.values["seed"]),))


def take_second_stage(study: PlannedStudy, followed: Sequence[str]) -> PlannedStudy:
    """Everything on, and the same without each technique that is followed."""
    names = [FULL_ARM, *(f"without_{name}" for name in followed)]
    return _take(study, replace(study.blueprint, design=None, factors={}), names)


def _take(study: PlannedStudy, blueprint: StudyDesign, names: Sequence[str]) -> PlannedStudy:
    arms = replace(study.arms, ready=tuple(arm for arm in study.arms.ready if arm.name in names))
    return replace(
        study, arms=arms, blueprint=replace(blueprint, arms=tuple(arm for arm in blueprint.arms if arm.name in names))
    )


@dataclass(frozen=True, kw_only=True)
class Screening:
    """What stage 1 of a study has shown. effects: none if the cells with a result determine none.

    followed: None as long as a cell can still be trained. key: hash of the cells and of their metric.
    """

    study: PlannedStudy
    runs: StudyRuns
    effects: tuple[Effect, ...]
    followed: tuple[str, ...] | None
    key: str

    @classmethod
    def read(cls, study: PlannedStudy, runs: StudyRuns, files: StudyFiles) -> "Screening":
        """With the choice of `followed.json`, or that of the runs of stage 1 if each has a result or failed for good.

        Raises:
            ConfigError: the file is of other cells.
        """
        first = take_first_stage(study)
        effects = tuple(estimate_screening_effects(first, runs)[0])
        key = compute_digest([first.settings.metric, *first.seeds, *(arm.whole for arm in first.arms.ready)])
        written: JsonObject | None = try_read_json(files.directory / CHOICE)
        if written is not None and written.get("cells") != key:
            raise ConfigError(
                f"{files.directory / CHOICE} is a choice among other techniques, or by another metric: it is made "
                "once. Choose another directory (hydra.sweep.dir=DIR), or remove that file to choose again"
            )
        followed = None
        if written is not None:
            followed = tuple(map(str, written["followed"]))
        elif not _can_go_on(first, files):
            followed = select_effects(effects) if effects else tuple(first.blueprint.factors)
        return cls(study=study, runs=runs, effects=effects, followed=followed, key=key)

    @functools.cached_property
    def first(self) -> PlannedStudy:
        return take_first_stage(self.study)

    @functools.cached_property
    def second(self) -> PlannedStudy:
        return take_second_stage(self.study, self.followed or ())

    def write(self, files: StudyFiles) -> None:
        """Write the choice, once."""
        if self.followed is not None and try_read_json(files.directory / CHOICE) is None:
            choice = {"format": FILE_FORMAT, "cells": self.key, "followed": list(self.followed)}
            write_text(files.directory / CHOICE, json.dumps(choice, indent=2) + "\n")

    def describe(self) -> str:
        """Which techniques stage 1 follows, in a sentence."""
        cells = f"Stage 1 has one run in each of {format_count(len(self.first.arms.ready), 'cell')}"
        if self.followed is None:
            return f"{cells}; it is not complete."
        factors = self.study.blueprint.factors
        labels = join_with_and([factors[name] for name in self.followed]) or "none"
        why = "" if self.effects else " (too few cells have a result to choose)"
        return f"{cells}; of {format_count(len(factors), 'technique')}, stage 2 follows {labels}{why}."

    def build_study_json(self, second: PlannedStudy, runs: StudyRuns) -> JsonObject:
        """The content of `study.json`: that of stage 2, with what stage 1 has shown."""
        found = build_study_json(second, runs)
        warnings = [describe_chance_level(self.first, self.runs), found["warning"]]
        saved, missing = found["saved"], found["missing"] if second.compared else []
        if self.followed is None:
            wanted = {arm.name: set(self.first.seeds) for arm in self.first.arms.ready}
            missing = list_missing(self.first, self.runs, wanted)
        else:
            every = take_second_stage(self.study, tuple(self.study.blueprint.factors))
            num = count_trainings(every) - (count_trainings(second) if second.compared else 0)
            saved = add_stages(saved, self.runs.list_results(), runs.list_results(), num * len(second.seeds))
        return found | {
            "screening": self._to_json(),
            "warning": " In stage 2: ".join(filter(None, warnings)),
            "missing": missing,
            "status": "partial" if missing else "complete",
            "saved": saved,
            "next": found["next"] if second.compared else {"lines": _describe_next(missing), "open": []},
        }

    def _to_json(self) -> JsonObject:
        first, runs = self.first, self.runs
        return {
            "words": self.describe(),
            "metric": first.settings.metric,
            "level": FOLLOW_LEVEL,
            "followed": None if self.followed is None else list(self.followed),
            "effects": [self._effect_to_json(effect) for effect in self.effects],
            "cells": {
                arm.name: {"overrides": list(arm.arm.changes), "run": runs.directories[arm.name].get(first.seeds[0])}
                for arm in first.arms.ready
            },
            "failures": {name: next(iter(reasons.values())) for name, reasons in runs.failures.items() if reasons},
        }

    def _effect_to_json(self, effect: Effect) -> JsonObject:
        name, level = effect.factors[0], self.first.settings.level
        unit = get_metric_format(self.first.settings.metric)
        size = f"{unit.format_difference_with_unit(effect.estimate)}, {describe_interval(effect.interval, level, unit)}"
        word = "open" if self.followed is None else "followed" if name in self.followed else "not followed"
        return {
            "factor": name,
            "label": self.first.blueprint.factors[name],
            "estimate": effect.estimate,
            "interval": list(effect.interval) if effect.interval else None,
            "p_value": effect.p_value,
            "p_adjusted": None,
            "verdict": word,
            "verdict_words": f"{word.capitalize()}: {size}.",
        }


def _describe_next(missing: list[JsonObject]) -> list[str]:
    """What to do before stage 2, or where it has nothing to test."""
    if missing:
        return [f"{format_count(len(missing), 'run')} of stage 1 missing: the same command goes on."]
    return ["Stage 1 showed nothing, so nothing was tested; study=leave_one_out tests every technique."]


def _can_go_on(first: PlannedStudy, files: StudyFiles) -> bool:
    """Whether a cell has neither a result nor a failure that would occur again."""
    places = [files.place(arm, seed) for arm in first.arms.ready for seed in first.seeds]
    return any(not files.is_finished(each) and files.find_repeatable_failure(each) is None for each in places)


def train_two_stages(study: PlannedStudy, files: StudyFiles, train: Train) -> JsonObject:
    """Train the cells, choose, and train what is followed; returns the content of `study.json`.

    Raises:
        ConfigError: the directory has the choice of another screening.
    """
    first, none = take_first_stage(study), take_second_stage(study, ())
    unread = StudyRuns.read(none, files, {})
    screening = Screening.read(study, StudyRuns.read(first, files, {}), files)  # Refuses before anything is trained.
    found = train(first, lambda part, runs: Screening.read(study, runs, files).build_study_json(none, unread))
    screening = Screening.read(study, StudyRuns.read(first, files, {}), files)
    screening.write(files)
    return train(screening.second, screening.build_study_json) if screening.second.compared else found
