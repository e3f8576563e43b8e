"""A study of two stages on the terminal: its plan, whose cost is a range until the choice is made, and its result."""

from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from sota_exp.report.numbers import format_count, format_duration, format_percent, join_with_and
from sota_exp.statistics.selection import FOLLOW_LEVEL, compute_share_followed
from sota_exp.study.arms import ComposedArm
from sota_exp.study.files import StudyFiles
from sota_exp.study.results import JsonObject, PlannedStudy, StudyRuns
from sota_exp.study.terminal import ComparisonTable, format_study_result
from sota_exp.study.terminal_plan import format_study_plan
from sota_exp.study.terminal_time import describe_order
from sota_exp.study.two_stage import Screening, take_first_stage, take_second_stage

#: Effects, in standard deviations of a paired difference, of which the plan says how often they are followed.
PLANNED_EFFECTS = (0.5, 1.0, 2.0)


def format_two_stage_plan(
    study: PlannedStudy, files: StudyFiles, estimates: dict[str, Any], num_at_once: int = 1
) -> RenderableType:
    """The cost of both stages, that of stage 2 as a range, and the plan of stage 2 for all that may be followed.

    estimates: arm → seconds of a run, or why they are unknown. num_at_once: runs that are trained at a time.
    """
    first = take_first_stage(study)
    found = Screening.read(study, StudyRuns.read(first, files, {}), files)
    if found.followed is not None:
        words, second = Text(found.describe()), found.second
        return Group(words, "", format_study_plan(second, files, estimates, num_at_once)) if second.compared else words
    every = take_second_stage(study, tuple(study.blueprint.factors))
    cells, arms, num_seeds = first.arms.ready, every.arms.ready, len(study.seeds)
    num_done = sum(bool(results) for results in found.runs.results.values())
    mean_of_none = num_seeds * (len(every.compared) * FOLLOW_LEVEL + 1 - (1 - FOLLOW_LEVEL) ** len(every.compared))
    up_to = "up to " if study.settings.looks else ""
    shares = [
        format_percent(compute_share_followed(effect, len(cells), len(first.blueprint.factors)))
        for effect in PLANNED_EFFECTS
    ]
    effects = join_with_and([f"{effect:g}" for effect in PLANNED_EFFECTS])
    lines = [
        f"Stage 1: {format_count(len(cells), 'run')}, one per cell, {num_done} of them finished"
        f"{_format_time(cells, 1, estimates, num_at_once)}.",
        f"Stage 2: everything on, and without each technique that is followed, {up_to}{num_seeds} seeds: no run if "
        f"none is followed, about {mean_of_none:.0f} runs if none has an effect, {num_seeds * len(arms)} if all are "
        f"followed{_format_time(arms, num_seeds, estimates, num_at_once)}.",
        f"Techniques with an effect of {effects} standard deviations of a paired difference, over all settings of the "
        f"others, are followed in {join_with_and(shares)} of studies; those without any in "
        f"{format_percent(FOLLOW_LEVEL)}.",
        "If all are followed:",
    ]
    return Group(*map(Text, lines), format_study_plan(every, files, estimates, num_at_once))


def format_two_stage_result(found: JsonObject) -> RenderableType:
    """What stage 1 has shown, then the result of stage 2."""
    screening = found["screening"]
    title = f"Stage 1: main effects on {screening['metric']}, without verdicts"
    table = ComparisonTable(found, title, [""], screening["effects"], lambda effect: [])
    shown: list[RenderableType] = ["", table, ""] if table.rows else []
    return Group(*shown, Text(screening["words"]), format_study_result(found))


def _format_time(arms: Sequence[ComposedArm], num_seeds: int, estimates: dict[str, Any], num_at_once: int) -> str:
    """The time of all arms; nothing where one is not measured."""
    seconds = [estimates.get(arm.name) for arm in arms]
    known = [each for each in seconds if isinstance(each, float)]
    if len(known) < len(seconds):
        return ""
    return f", about {format_duration(num_seeds * sum(known) / num_at_once)}, {describe_order(num_at_once)}"
