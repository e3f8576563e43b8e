"""The plan of a study on the terminal: arms, cost, and what so many seeds can show."""

import math
import re
from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sota_exp.config.printable import make_printable
from sota_exp.config.split_of_seed import get_split
from sota_exp.report.numbers import format_count, format_duration
from sota_exp.report.terminal import escape
from sota_exp.statistics.power import MAX_SEEDS
from sota_exp.statistics.units import UNKNOWN, MetricFormat, get_metric_format
from sota_exp.study.chance import describe_chance_level
from sota_exp.study.earlier_noise import find_earlier_noise
from sota_exp.study.files import StudyFiles
from sota_exp.study.results import JsonObject, PlannedStudy, StudyRuns
from sota_exp.study.study_json_anytime import build_costs_of_looks
from sota_exp.study.study_json_power import build_power_table, estimate_study_noise
from sota_exp.study.terminal_looks import format_costs_of_looks
from sota_exp.study.terminal_time import describe_order, describe_unmeasured


def format_warning(warning: str) -> list[Text]:
    return [Text(f"Warning: {warning}", style="bold yellow")] if warning else []


def format_study_plan(
    study: PlannedStudy, files: StudyFiles, estimates: dict[str, Any], num_at_once: int = 1
) -> RenderableType:
    """The plan: arms, seeds, cost and statistical power.

    estimates: arm → seconds of a run, or why they are unknown; and `counts`, the number of images of each part.
    num_at_once: runs that are trained at a time.
    """
    num_seeds, counts = len(study.seeds), estimates.get("counts") or {}
    costs = {arm.name: estimates[arm.name] for arm in study.arms.ready if arm.name in estimates}
    num_finished = {arm.name: files.count_finished(arm, study.seeds) for arm in study.arms.ready}
    num_test = counts.get("test")
    folds = get_split(study.arms.ready[0].configuration.values).get("folds", 1)
    lines = [*describe_tested(sum(counts.values()) if num_test and folds > 1 else num_test, num_test)]
    if done := sum(num_finished.values()):
        lines.append(f"{done} of {num_seeds * len(num_finished)} runs are finished.")
    lines += describe_names(study)
    lines += filter(None, [describe_unmeasured(costs, len(study.arms.ready))])
    known = {name: cost for name, cost in costs.items() if isinstance(cost, float)}
    if known:
        left = sum(cost * (num_seeds - num_finished[name]) for name, cost in known.items()) / num_at_once
        whole = num_seeds * sum(known.values()) / num_at_once
        which = "" if len(known) == len(num_finished) else f" for the runs of {len(known)} of {len(num_finished)} arms"
        lines.append(
            f"About {format_duration(left)}{which}, {describe_order(num_at_once)} "
            f"({format_duration(whole)} with those that are finished), estimated from a few measured steps."
        )
    runs = StudyRuns.read(study, files, {})
    power = build_power_table(
        study, runs, estimate_study_noise(study, runs, counts, find_earlier_noise(files.directory, study))
    )
    unit = get_metric_format(study.settings.metric)
    lines += describe_power(power, len(study.seeds), unit)
    looks = format_costs_of_looks(build_costs_of_looks(study, power), study.settings.planned_looks, unit)
    warning = format_warning(describe_chance_level(study, runs))
    return Group(*warning, build_arm_table(study, costs), "", *map(Text, lines), *looks)


def describe_names(study: PlannedStudy) -> list[str]:
    """The names in `study.only` of techniques whose labels do not tell them, in a line."""
    every = [] if study.settings.kind in ("one_slot", "null") else study.settings.get_chosen_techniques()
    told = [f"{each.name} ({each.label})" for each in every if re.sub(r"\W+", "_", each.label.lower()) != each.name]
    return [f"Names in study.only: {', '.join(told)}."] if told else []


def build_arm_table(study: PlannedStudy, costs: Mapping[str, object]) -> Table:
    """Each arm with what it changes in the line below it. costs: arm → seconds of a run, or why they are unknown."""
    table = Table(box=None, pad_edge=False)
    table.add_column("arm, and what it changes", overflow="fold")
    for heading in ("compared with", "per run"):
        table.add_column(heading, no_wrap=True)
    for arm in study.arms.ready:
        cost = costs.get(arm.name)
        told = UNKNOWN if cost is None else format_duration(cost) if isinstance(cost, float) else "not measured"
        lines = Text(make_printable(arm.arm.label))
        if arm.arm.changes:
            against = "" if arm.arm.reference else "the configuration of the command with "
            lines.append(f"\n  {against}{make_printable(', '.join(arm.arm.changes))}", style="dim")
        table.add_row(lines, escape(arm.arm.reference or ""), told)
    return table


def describe_tested(num_test: int | None, num_per_run: int | None, num_groups: int | None = None) -> list[str]:
    """How many images are tested in all, where a run tests a part of them, or some vary together."""
    if num_test is None:
        return []
    has_parts = num_per_run is not None and num_test > num_per_run
    parts = f" in all, about {num_per_run:,} a run; intervals over images are over all of them" if has_parts else ""
    groups = f"{'; they' if has_parts else ''} are {num_groups:,} groups, which count as drawn" if num_groups else ""
    return [f"Test images: {num_test:,}{parts}{groups}."] if parts or groups else []


def describe_detectable(power: JsonObject, num_seeds: int, unit: MetricFormat) -> list[str]:
    """The smallest effect that these seeds can detect, in a line; a plan and the page say more."""
    if power["sd_assumed"] is None:
        return describe_power(power, num_seeds, unit)
    known = power.get("detectable") or power["detectable_effect"]
    seeds = f"{format_count(num_seeds, 'seed')}{'' if 'detectable' in power else ' per cell'}"
    if (smallest := known[str(num_seeds)]) is None:
        least = f": at least {power['fewest_seeds']} are needed" if power.get("fewest_seeds") else ""
        return [f"No effect, however large, is shown by {seeds}{least}."]
    new = power["new_images"]["detectable"]
    others = "" if new is None else f"; for other images like these, {unit.size(new)}"
    return [f"{seeds} {'shows' if num_seeds == 1 else 'show'} {unit.size(smallest)} in four of five studies{others}."]


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
    least = f": at least {power['fewest_seeds']} seeds are needed" if power.get("fewest_seeds") else ""
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
