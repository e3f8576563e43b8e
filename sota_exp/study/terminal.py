"""A study on the terminal: what lies ahead, how it goes, and what came out."""

import os
import time
from collections.abc import Iterable
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from sota_exp.report.numbers import duration
from sota_exp.report.terminal import console
from sota_exp.statistics.units import Scale, p_value, scale_of
from sota_exp.study.files import StudyFiles, trainings
from sota_exp.study.results import Row, Runs, Study
from sota_exp.study.scheduler import Ablation, Job
from sota_exp.study.study_json import plan_of

#: How each verdict looks.
STYLES = {
    "helps": "bold green",
    "hurts": "bold red",
    "cannot be distinguished": "dim",
    "too few seeds": "yellow",
    "failed": "red",
    "reference": "dim",
}

#: Characters of a drawn interval.
WIDTH = 29


def heading(study: Study, files: StudyFiles) -> Iterable[RenderableType]:
    """The study in a few lines: arms, seeds, what was refused, which rules fire."""
    ready, num_trainings = study.arms.ready, len(trainings(study.arms))
    shared = len(ready) - num_trainings
    shares = f", {shared} of them sharing another's training" if shared else ""
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
    said: dict[str, list[str]] = {}
    for arm in ready:
        for warning in arm.warnings:
            said.setdefault(warning, []).append(arm.name)
    for warning, names in said.items():
        where = "all arms" if len(names) == len(ready) else ", ".join(names[:4]) + (" …" if len(names) > 4 else "")
        yield Text.from_markup(f"  [yellow]rule[/] {escape(warning)} [dim]({escape(where)})[/]")


class Progress:
    """A line a run, with what it scored and how long the rest will take."""

    def __init__(self, study: Study, files: StudyFiles) -> None:
        self.study, self.files, self.out = study, files, console()
        self.done = self.total = 0
        self.began = time.monotonic()

    def begin(self, num_open: int) -> None:
        self.total = num_open
        if num_open:
            self.out.print(f"  {num_open} runs to make", style="dim")
        else:
            self.out.print("  every run is finished; nothing is trained", style="dim")

    def job_ended(self, ablation: Ablation, job: Job, failure: str | None) -> None:
        self.done += 1
        spent = time.monotonic() - self.began
        left = spent / self.done * max(self.total - self.done, 0)
        if failure is not None:
            said = f"[red]failed[/]: {escape(failure)}"
        else:
            result = self.files.result(job.place) or {}
            value = result["metrics"].get(self.study.settings.metric)
            said = f"{_value(self.study.settings.metric, value)}, {duration(sum(result['seconds'].values()))}"
        self.out.print(f"[dim]{self.done:>4}/{self.total}[/]  {job.name:<36} {said}  [dim]{duration(left)} left[/]")


def _value(metric: str, value: float | None) -> str:
    return scale_of(metric).with_unit(value)


def result(found: Row) -> RenderableType:
    """What came out: a row an arm, then effects, then what could not be concluded."""
    parts: list[RenderableType] = ["", _arms(found)]
    if found["effects"]:
        parts += ["", _effects(found, "effects", "Main effects")]
    if found["interactions"]:
        parts += ["", _effects(found, "interactions", "Interactions")]
    parts += [Text(line, style="dim") for line in _closing(found)]
    return Group(*parts)


def _arms(found: Row) -> Table:
    compared = [arm for arm in found["arms"] if arm["interval"] is not None]
    reach = max((abs(end) for arm in compared for end in arm["interval"]), default=0.0)
    drawn = Table(
        title=f"{found['title']}: {found['recipe']} on {found['data']}", title_justify="left", box=None, pad_edge=False
    )
    drawn.add_column("arm")
    for head in ("n", found["metric"], scale_of(found["metric"]).difference_unit or "difference"):
        drawn.add_column(head, justify="right")
    drawn.add_column(f"{found['level']:.0%} interval", justify="right")
    drawn.add_column(_scale(reach, scale_of(found["metric"])), no_wrap=True)
    drawn.add_column("p adj.", justify="right")
    drawn.add_column("time", justify="right")
    drawn.add_column("verdict")
    rows = (
        found["arms"] if not found["effects"] else [arm for arm in found["arms"] if not arm["name"].startswith("cell_")]
    )
    for arm in rows:
        drawn.add_row(*_cells(arm, found["metric"], reach))
    return drawn


def _cells(arm: Row, metric: str, reach: float) -> list[str | Text]:
    style, unit = STYLES[arm["verdict"]], scale_of(metric)
    spread = "" if arm["sd"] is None else f" ± {unit.value(arm['sd'])}"
    mean = "–" if arm["mean"] is None else f"{unit.value(arm['mean'])}{spread}"
    seconds = arm["cost"]["seconds"]
    numbers: list[str] = ["", "", ""]
    bar = Text("")
    if arm["interval"] is not None:
        low, high = arm["interval"]
        numbers = [unit.difference(arm["difference"]), unit.span(low, high, " … "), p_value(arm["p_adjusted"])]
        bar = Text(interval_bar(low, arm["difference"], high, reach), style=style)
    return [
        escape(arm["label"]),
        str(arm["n"]),
        mean,
        numbers[0],
        numbers[1],
        bar,
        numbers[2],
        duration(seconds),
        Text(arm["verdict"], style=style),
    ]


def _scale(reach: float, unit: Scale) -> str:
    """The heading over the drawn intervals: where zero is and how far they go."""
    if not reach:
        return ""
    ends = [f"{unit.factor * end:+.{unit.decimals - 1}f}" for end in (-reach, reach)]
    middle = WIDTH // 2
    return ends[0].ljust(middle) + "0" + ends[1].rjust(WIDTH - middle - 1)


def interval_bar(low: float, middle: float, high: float, reach: float) -> str:
    """`──●──` at its place between −reach and +reach, with a stroke at zero."""

    def place(value: float) -> int:
        return round((value + reach) / (2 * reach) * (WIDTH - 1)) if reach else WIDTH // 2

    cells = [" "] * WIDTH
    for index in range(place(low), place(high) + 1):
        cells[index] = "─"
    cells[WIDTH // 2] = "┼" if cells[WIDTH // 2] == "─" else "│"
    cells[place(middle)] = "●"
    return "".join(cells)


def _effects(found: Row, key: str, title: str) -> Table:
    rows = found[key]
    reach = max(abs(end) for row in rows for end in row["interval"])
    drawn = Table(title=title, title_justify="left", box=None, pad_edge=False)
    drawn.add_column("")
    drawn.add_column(scale_of(found["metric"]).difference_unit or "difference", justify="right")
    drawn.add_column("interval", justify="right")
    drawn.add_column(_scale(reach, scale_of(found["metric"])), no_wrap=True)
    drawn.add_column("p adj.", justify="right")
    drawn.add_column("verdict")
    drawn.add_column("mixed with")
    for row in rows:
        low, high = row["interval"]
        style, unit = STYLES[row["verdict"]], scale_of(found["metric"])
        aliases = row["aliases"]
        drawn.add_row(
            escape(row["label"]),
            unit.difference(row["estimate"]),
            unit.span(low, high, " … "),
            Text(interval_bar(low, row["estimate"], high, reach), style=style),
            p_value(row["p_adjusted"]),
            Text(row["verdict"], style=style),
            ", ".join(aliases[:2]) + (f" and {len(aliases) - 2} more" if len(aliases) > 2 else ""),
        )
    return drawn


def _closing(found: Row) -> list[str]:
    """What so many seeds could have found, and what is missing."""
    about, unit = found["plan"], scale_of(found["metric"])
    num = len(found["seeds"])
    lines = [
        f"p adj. holds for all arms at once; intervals are each arm's own. Differences vary by {unit.size(about['sd_assumed'])} ({about['sd_source']})."
    ]
    if "detectable_effect" in about:
        lines = effect_lines(about, num, unit)
    elif (smallest := about["detectable"].get(str(num))) is not None:
        lines[0] += f" {num} seeds find {unit.size(smallest)} in four of five studies."
    if found["looks"]:
        looks = found["looks"]
        lines.append(
            f"looks done: {looks['done'] or 'none'} of {looks['planned']} seeds; decided: {', '.join(looks['decided']) or 'none'}"
        )
    for name, reason in ((item["name"], item["reason"]) for item in found["refused"]):
        lines.append(f"refused {name}: {reason}")
    if found["missing"]:
        first = found["missing"][0]
        lines.append(
            f"missing: {len(found['missing'])} runs, such as {first['arm']}, seed {first['seed']}: {first['reason']}"
        )
    return lines


def plan(study: Study, files: StudyFiles, estimates: dict[str, Any]) -> RenderableType:
    """Arms × seeds, what they take, and what they can find. estimates: arm → seconds of a run, or why it is unknown."""
    drawn = Table(box=None, pad_edge=False)
    for head in ("arm", "compared with", "changes"):
        drawn.add_column(head)
    drawn.add_column("a run", justify="right")
    drawn.add_column("finished", justify="right")
    total, left = 0.0, 0.0
    for arm in study.arms.ready:
        finished = sum(files.is_finished(files.place(arm, seed)) for seed in study.seeds)
        seconds = estimates.get(arm.name)
        if isinstance(seconds, float):
            total += seconds * len(study.seeds)
            left += seconds * (len(study.seeds) - finished)
        drawn.add_row(
            escape(arm.arm.label),
            arm.arm.reference or "",
            escape(", ".join(arm.arm.changes)),
            duration(seconds) if isinstance(seconds, float) else escape(str(seconds or "–")),
            f"{finished}/{len(study.seeds)}",
        )
    lines: list[RenderableType] = [drawn, ""]
    if estimates:
        lines.append(
            f"About {duration(left)} of runs one after the other ({duration(total)} for the whole study), by a few measured steps."
        )
    return Group(*lines, *map(Text, power_lines(study, files, estimates.get("num_test"))))


def effect_lines(about: Row, num: int, unit: Scale) -> list[str]:
    """What a design shows with one seed more or less."""
    found = {int(seeds): value for seeds, value in about["detectable_effect"].items() if value is not None}
    shown = ", ".join(f"{unit.size(value)} with {seeds}" for seeds, value in found.items())
    varies = f"Differences between runs of equal seed vary by {unit.size(about['sd_assumed'])} ({about['sd_source']})."
    here = unit.size(found[num]) if num in found else "none: add a seed"
    return [
        varies,
        f"The smallest main effect that {num} seed{'' if num == 1 else 's'} a cell show, of {about['num_factors']}, in four of five studies: {here}.",
        f"By seeds a cell: {shown}.",
    ]


def power_lines(study: Study, files: StudyFiles, num_test: int | None) -> list[str]:
    """The smallest effect that these seeds can show, and how many seeds an effect needs."""
    runs = Runs.read(study, files, {})
    scored = [result["evaluated_images"]["test"] for found in runs.results.values() for result in found.values()]
    about = plan_of(study, runs, scored[0] if scored else num_test)
    num = len(study.seeds)
    if "detectable_effect" in about:
        return effect_lines(about, num, scale_of(study.settings.metric))
    smallest = about["detectable"][str(num)]
    unit = scale_of(study.settings.metric)
    shown = unit.size(smallest) if smallest is not None else "nothing, however large: at least 6 seeds are needed"
    lines = [
        f"Differences between paired seeds vary by {unit.size(about['sd_assumed'])} ({about['sd_source']}).",
        f"The smallest effect that {num} seeds show among {about['num_arms']} arm{'' if about['num_arms'] == 1 else 's'} in four of five studies: {shown}.",
    ]
    needed = ", ".join(
        f"{seeds or 'over 5,000'} for {unit.factor * float(effect):g}"
        for effect, seeds in about["seeds_needed"].items()
    )
    return [*lines, f"Seeds needed: {needed} {unit.difference_unit}".strip() + "."]
