"""A study on the terminal: its plan, its progress and its result."""

import os
import time
from collections.abc import Iterable
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from sota_exp.report.numbers import format_duration
from sota_exp.report.terminal import make_console
from sota_exp.statistics.units import MetricFormat, format_p_value, get_metric_format
from sota_exp.study.files import StudyFiles, find_trainings
from sota_exp.study.results import JsonObject, PlannedStudy, StudyRuns
from sota_exp.study.scheduler import ArmRun, StudyScheduler
from sota_exp.study.study_json import build_power_table

#: Style of each verdict.
VERDICT_STYLES = {
    "helps": "bold green",
    "hurts": "bold red",
    "cannot be distinguished": "dim",
    "too few seeds": "yellow",
    "failed": "red",
    "reference": "dim",
}

#: Width of a drawn interval in characters.
INTERVAL_WIDTH = 29


def format_study_heading(study: PlannedStudy, files: StudyFiles) -> Iterable[RenderableType]:
    """The study in a few lines: arms, seeds, refused arms, rules that fire."""
    ready, num_trainings = study.arms.ready, len(find_trainings(study.arms))
    shared = len(ready) - num_trainings
    shares = f", {shared} of them share the training of another arm" if shared else ""
    yield Text.from_markup(
        f"[bold]{escape(study.settings.title)}[/]: {study.recipe} on {escape(study.data)}, by {study.settings.metric}"
    )
    yield Text(
        f"  {len(ready)} arms × {len(study.seeds)} seeds{shares}; in {os.path.relpath(files.directory)}", style="dim"
    )
    for note in study.blueprint.notes:
        yield Text(f"  {note}", style="dim")
    for name, reason in study.arms.refused:
        yield Text.from_markup(f"  [yellow]refused[/] {escape(name)}: {escape(reason)}")
    arms_by_warning: dict[str, list[str]] = {}
    for arm in ready:
        for warning in arm.warnings:
            arms_by_warning.setdefault(warning, []).append(arm.name)
    for warning, names in arms_by_warning.items():
        where = "all arms" if len(names) == len(ready) else ", ".join(names[:4]) + (" …" if len(names) > 4 else "")
        yield Text.from_markup(f"  [yellow]rule[/] {escape(warning)} [dim]({escape(where)})[/]")


class ProgressPrinter:
    """One line per finished run, with its score and the time that the rest will take."""

    def __init__(self, study: PlannedStudy, files: StudyFiles) -> None:
        self.study, self.files, self.out = study, files, make_console()
        self.done = self.total = 0
        self.began = time.monotonic()

    def begin(self, num_open: int) -> None:
        self.total = num_open
        if num_open:
            self.out.print(f"  {num_open} runs to train", style="dim")
        else:
            self.out.print("  every run is finished; nothing is trained", style="dim")

    def print_ended_run(self, ablation: StudyScheduler, job: ArmRun, failure: str | None) -> None:
        self.done += 1
        spent = time.monotonic() - self.began
        left = spent / self.done * max(self.total - self.done, 0)
        if failure is not None:
            outcome = f"[red]failed[/]: {escape(failure)}"
        else:
            result = self.files.result(job.place) or {}
            value = result["metrics"].get(self.study.settings.metric)
            outcome = f"{_value(self.study.settings.metric, value)}, {format_duration(sum(result['seconds'].values()))}"
        self.out.print(
            f"[dim]{self.done:>4}/{self.total}[/]  {job.name:<36} {outcome}  [dim]{format_duration(left)} left[/]"
        )


def _value(metric: str, value: float | None) -> str:
    return get_metric_format(metric).format_with_unit(value)


def format_study_result(found: JsonObject) -> RenderableType:
    """The result: a table of arms, effects if there are any, and closing notes."""
    parts: list[RenderableType] = ["", _arms(found)]
    if found["effects"]:
        parts += ["", _effects(found, "effects", "Main effects")]
    if found["interactions"]:
        parts += ["", _effects(found, "interactions", "Interactions")]
    parts += [Text(line, style="dim") for line in _closing(found)]
    return Group(*parts)


def _arms(found: JsonObject) -> Table:
    compared = [arm for arm in found["arms"] if arm["interval"] is not None]
    reach = max((abs(end) for arm in compared for end in arm["interval"]), default=0.0)
    table = Table(
        title=f"{found['title']}: {found['recipe']} on {found['data']}", title_justify="left", box=None, pad_edge=False
    )
    table.add_column("arm")
    for head in ("n", found["metric"], get_metric_format(found["metric"]).difference_unit or "difference"):
        table.add_column(head, justify="right")
    table.add_column(f"{found['level']:.0%} interval", justify="right")
    table.add_column(_scale(reach, get_metric_format(found["metric"])), no_wrap=True)
    table.add_column("p adj.", justify="right")
    table.add_column("time", justify="right")
    table.add_column("verdict")
    rows = (
        found["arms"] if not found["effects"] else [arm for arm in found["arms"] if not arm["name"].startswith("cell_")]
    )
    for arm in rows:
        table.add_row(*_cells(arm, found["metric"], reach))
    return table


def _cells(arm: JsonObject, metric: str, reach: float) -> list[str | Text]:
    style, unit = VERDICT_STYLES[arm["verdict"]], get_metric_format(metric)
    spread = "" if arm["sd"] is None else f" ± {unit.value(arm['sd'])}"
    mean = "–" if arm["mean"] is None else f"{unit.value(arm['mean'])}{spread}"
    seconds = arm["cost"]["seconds"]
    numbers: list[str] = ["", "", ""]
    bar = Text("")
    if arm["interval"] is not None:
        low, high = arm["interval"]
        numbers = [unit.difference(arm["difference"]), unit.span(low, high, " … "), format_p_value(arm["p_adjusted"])]
        bar = Text(draw_interval_bar(low, arm["difference"], high, reach), style=style)
    return [
        escape(arm["label"]),
        str(arm["n"]),
        mean,
        numbers[0],
        numbers[1],
        bar,
        numbers[2],
        format_duration(seconds),
        Text(arm["verdict"], style=style),
    ]


def _scale(reach: float, unit: MetricFormat) -> str:
    """The heading over the drawn intervals: zero and both ends of the axis."""
    if not reach:
        return ""
    ends = [f"{unit.factor * end:+.{unit.decimals - 1}f}" for end in (-reach, reach)]
    middle = INTERVAL_WIDTH // 2
    return ends[0].ljust(middle) + "0" + ends[1].rjust(INTERVAL_WIDTH - middle - 1)


def draw_interval_bar(low: float, middle: float, high: float, reach: float) -> str:
    """`──●──` on an axis from −reach to +reach, with a stroke at zero."""

    def place(value: float) -> int:
        return round((value + reach) / (2 * reach) * (INTERVAL_WIDTH - 1)) if reach else INTERVAL_WIDTH // 2

    cells = [" "] * INTERVAL_WIDTH
    for index in range(place(low), place(high) + 1):
        cells[index] = "─"
    cells[INTERVAL_WIDTH // 2] = "┼" if cells[INTERVAL_WIDTH // 2] == "─" else "│"
    cells[place(middle)] = "●"
    return "".join(cells)


def _effects(found: JsonObject, key: str, title: str) -> Table:
    rows = found[key]
    reach = max(abs(end) for row in rows for end in row["interval"])
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("")
    table.add_column(get_metric_format(found["metric"]).difference_unit or "difference", justify="right")
    table.add_column("interval", justify="right")
    table.add_column(_scale(reach, get_metric_format(found["metric"])), no_wrap=True)
    table.add_column("p adj.", justify="right")
    table.add_column("verdict")
    table.add_column("aliased with")
    for row in rows:
        low, high = row["interval"]
        style, unit = VERDICT_STYLES[row["verdict"]], get_metric_format(found["metric"])
        aliases = row["aliases"]
        table.add_row(
            escape(row["label"]),
            unit.difference(row["estimate"]),
            unit.span(low, high, " … "),
            Text(draw_interval_bar(low, row["estimate"], high, reach), style=style),
            format_p_value(row["p_adjusted"]),
            Text(row["verdict"], style=style),
            ", ".join(aliases[:2]) + (f" and {len(aliases) - 2} more" if len(aliases) > 2 else ""),
        )
    return table


def _closing(found: JsonObject) -> list[str]:
    """What this number of seeds could detect, the looks, refused arms, and missing runs."""
    power, unit = found["plan"], get_metric_format(found["metric"])
    num = len(found["seeds"])
    lines = [
        "p adj. is corrected for all arms together; intervals are not. "
        f"Differences have a standard deviation of {unit.size(power['sd_assumed'])} ({power['sd_source']})."
    ]
    if "detectable_effect" in power:
        lines = format_design_power(power, num, unit)
    elif (smallest := power["detectable"].get(str(num))) is not None:
        lines[0] += f" {num} seeds detect {unit.size(smallest)} in four of five studies."
    if found["looks"]:
        looks = found["looks"]
        lines.append(
            f"looks done: {looks['done'] or 'none'} of {looks['planned']} seeds; "
            f"decided: {', '.join(looks['decided']) or 'none'}"
        )
    for name, reason in ((item["name"], item["reason"]) for item in found["refused"]):
        lines.append(f"refused {name}: {reason}")
    if found["missing"]:
        first = found["missing"][0]
        lines.append(
            f"missing: {len(found['missing'])} runs, such as {first['arm']}, seed {first['seed']}: {first['reason']}"
        )
    return lines


def format_study_plan(study: PlannedStudy, files: StudyFiles, estimates: dict[str, Any]) -> RenderableType:
    """The plan: arms, seeds, cost and statistical power. estimates: arm → seconds of a run, or why they are unknown."""
    table = Table(box=None, pad_edge=False)
    for head in ("arm", "compared with", "changes"):
        table.add_column(head)
    table.add_column("per run", justify="right")
    table.add_column("finished", justify="right")
    total, left = 0.0, 0.0
    for arm in study.arms.ready:
        finished = sum(files.is_finished(files.place(arm, seed)) for seed in study.seeds)
        seconds = estimates.get(arm.name)
        if isinstance(seconds, float):
            total += seconds * len(study.seeds)
            left += seconds * (len(study.seeds) - finished)
        table.add_row(
            escape(arm.arm.label),
            arm.arm.reference or "",
            escape(", ".join(arm.arm.changes)),
            format_duration(seconds) if isinstance(seconds, float) else escape(str(seconds or "–")),
            f"{finished}/{len(study.seeds)}",
        )
    lines: list[RenderableType] = [table, ""]
    if estimates:
        lines.append(
            f"About {format_duration(left)} if the runs are trained one after the other "
            f"({format_duration(total)} for the whole study), estimated from a few measured steps."
        )
    return Group(*lines, *map(Text, format_power(study, files, estimates.get("num_test"))))


def format_design_power(power: JsonObject, num: int, unit: MetricFormat) -> list[str]:
    """What a screening design can detect, by its number of seeds."""
    found = {int(seeds): value for seeds, value in power["detectable_effect"].items() if value is not None}
    by_seeds = ", ".join(f"{unit.size(value)} with {seeds}" for seeds, value in found.items())
    spread = f"{unit.size(power['sd_assumed'])} ({power['sd_source']})"
    here = unit.size(found[num]) if num in found else "none: add a seed"
    return [
        f"Differences between runs of equal seed have a standard deviation of {spread}.",
        f"The smallest of {power['num_factors']} main effects that {num} seed{'' if num == 1 else 's'} per cell detect "
        f"in four of five studies: {here}.",
        f"By seeds per cell: {by_seeds}.",
    ]


def format_power(study: PlannedStudy, files: StudyFiles, num_test: int | None) -> list[str]:
    """The smallest effect that these seeds can detect, and the number of seeds that each effect needs."""
    runs = StudyRuns.read(study, files, {})
    scored = [result["evaluated_images"]["test"] for found in runs.results.values() for result in found.values()]
    power = build_power_table(study, runs, scored[0] if scored else num_test)
    num = len(study.seeds)
    if "detectable_effect" in power:
        return format_design_power(power, num, get_metric_format(study.settings.metric))
    smallest = power["detectable"][str(num)]
    unit = get_metric_format(study.settings.metric)
    found = unit.size(smallest) if smallest is not None else "none, however large: at least 6 seeds are needed"
    arms = f"{power['num_arms']} arm{'' if power['num_arms'] == 1 else 's'}"
    lines = [
        f"Differences between paired seeds have a standard deviation of {unit.size(power['sd_assumed'])} "
        f"({power['sd_source']}).",
        f"The smallest effect that {num} seeds detect among {arms} in four of five studies: {found}.",
    ]
    needed = ", ".join(
        f"{seeds or 'over 5,000'} for {unit.factor * float(effect):g}"
        for effect, seeds in power["seeds_needed"].items()
    )
    return [*lines, f"Seeds needed: {needed} {unit.difference_unit}".strip() + "."]
