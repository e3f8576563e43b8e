"""The plan of a study on the terminal: arms, cost, and what so many seeds can show."""

import math
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sota_exp.config.split_of_seed import get_split
from sota_exp.report.numbers import format_count, format_duration
from sota_exp.report.terminal import escape
from sota_exp.statistics.power import MAX_SEEDS
from sota_exp.statistics.units import MetricFormat, get_metric_format
from sota_exp.study.chance import describe_chance_level
from sota_exp.study.files import StudyFiles
from sota_exp.study.results import JsonObject, PlannedStudy, StudyRuns
from sota_exp.study.study_json_anytime import build_costs_of_looks
from sota_exp.study.study_json_power import build_power_table, estimate_study_noise
from sota_exp.study.terminal_looks import format_costs_of_looks


def format_warning(warning: str) -> list[Text]:
    return [Text(f"Warning: {warning}", style="bold yellow")] if warning else []


def format_study_plan(study: PlannedStudy, files: StudyFiles, estimates: dict[str, Any]) -> RenderableType:
    """The plan: arms, seeds, cost and statistical power.

    estimates: arm → seconds of a run, or why they are unknown; and `counts`, the number of images of each part.
    """
    table = Table("arm", "compared with", "changes", "per run", "finished", box=None, pad_edge=False)
    num_seeds, total, left = len(study.seeds), 0.0, 0.0
    for arm in study.arms.ready:
        finished = sum(files.is_finished(files.place(arm, seed)) for seed in study.seeds)
        cost = estimates.get(arm.name, "–")
        if isinstance(cost, float):
            total, left = total + cost * num_seeds, left + cost * (num_seeds - finished)
            cost = format_duration(cost)
        changes = ", ".join(arm.arm.changes)
        table.add_row(*map(escape, (arm.arm.label, arm.arm.reference or "", changes, cost, f"{finished}/{num_seeds}")))
    counts = estimates.get("counts") or {}
    num_test = counts.get("test")
    folds = get_split(study.arms.ready[0].configuration.values).get("folds", 1)
    lines: list[RenderableType] = [table, "", *map(Text, describe_tested(num_test and num_test * folds, num_test))]
    if total:
        lines.append(
            f"About {format_duration(left)} if the runs are trained one after the other "
            f"({format_duration(total)} for the whole study), estimated from a few measured steps."
        )
    runs = StudyRuns.read(study, files, {})
    power = build_power_table(study, runs, estimate_study_noise(study, runs, counts))
    unit = get_metric_format(study.settings.metric)
    notes = describe_power(power, len(study.seeds), unit)
    costs = format_costs_of_looks(build_costs_of_looks(study, power), study.settings.planned_looks, unit)
    return Group(*format_warning(describe_chance_level(study, runs)), *lines, *map(Text, notes), *costs)


def describe_tested(num_test: int | None, num_per_run: int | None) -> list[str]:
    """How many images are tested in all, where a run tests a part of them."""
    if num_test is None or num_per_run is None or num_test <= num_per_run:
        return []
    return [
        f"Test images: {num_test:,} in all, about {num_per_run:,} a run; intervals over images are over all of them."
    ]


def describe_power(power: JsonObject, num_seeds: int, unit: MetricFormat) -> list[str]:
    """The smallest effect that these seeds can detect, and what other numbers of seeds can."""
    if power["sd_assumed"] is None:
        return [f"What {format_count(num_seeds, 'seed')} can show is {power['sd_source']}."]
    return [*_describe_power_of_seeds(power, num_seeds, unit), *_describe_power_on_new_images(power, unit)]


def _describe_power_on_new_images(power: JsonObject, unit: MetricFormat) -> list[str]:
    """The smallest effect for other images like these; nothing where that is unknown or no number of images."""
    found = power["new_images"]
    if found["detectable"] is None:
        return []
    how = ""
    if found["variance"]:
        spread = unit.size(math.sqrt(found["variance"]))
        how = f"; the methods differ by {spread} on an image{', an assumption' if found['is_assumed'] else ''}"
    return [f"For other images like these: {unit.size(found['detectable'])}, since test images are a sample too{how}."]


def _describe_power_of_seeds(power: JsonObject, num_seeds: int, unit: MetricFormat) -> list[str]:
    spread = f"have a standard deviation of {unit.size(power['sd_assumed'])} ({power['sd_source']})."
    detects = "detects" if num_seeds == 1 else "detect"
    if "detectable_effect" in power:
        found = {
            int(seeds): unit.size(value) for seeds, value in power["detectable_effect"].items() if value is not None
        }
        return [
            f"Differences between runs of equal seed {spread}",
            f"The smallest main effect that {format_count(num_seeds, 'seed')} per cell {detects} among "
            f"{format_count(power['num_tests'], 'effect')} in four of five studies: "
            f"{found.get(num_seeds, 'none: add a seed')}.",
            f"By seeds per cell: {', '.join(f'{size} with {seeds}' for seeds, size in found.items())}.",
        ]
    smallest = power["detectable"][str(num_seeds)]
    least = " (of one arm alone)" if "most_seeds" in power else ": at least 6 seeds are needed"
    detected = unit.size(smallest) if smallest is not None else f"none, however large{least}"
    most = power.get("most_seeds", MAX_SEEDS)
    needed = ", ".join(
        f"{seeds or f'over {most:,}'} for {unit.factor * float(effect):g}"
        for effect, seeds in power["seeds_needed"].items()
    )
    return [
        f"Differences between paired seeds {spread}",
        f"The smallest effect that {format_count(num_seeds, 'seed')} {detects} among "
        f"{format_count(power['num_tests'], 'comparison')} in four of five studies: {detected}.",
        f"Seeds needed: {needed} {unit.difference_unit}".strip() + ".",
    ]
