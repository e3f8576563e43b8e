"""A study on the terminal: its plan, its progress and its result."""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from sota_exp.config.printable import make_printable
from sota_exp.config.values import join_first
from sota_exp.report.numbers import estimate_remaining, format_count, format_duration
from sota_exp.report.study.answer import concerns_all_arms, describe_left_out
from sota_exp.report.study.read import read_headline
from sota_exp.report.terminal import escape, format_next, indent, join_what_fits, make_console
from sota_exp.statistics.units import UNKNOWN, MetricFormat, format_level, format_p_value, get_metric_format
from sota_exp.statistics.verdict import (
    MEANING_HERE,
    MEANING_OF_HERE,
    MEANING_OF_VERDICTS,
    NO_ANYTIME_INTERVAL,
    NO_INTERVAL,
    SHOWN_HERE,
    describe_anytime_error_rate,
    describe_error_rate,
    describe_fewest,
)
from sota_exp.study.clock import StudyClock
from sota_exp.study.files import ArmRun, StudyFiles, find_trainings
from sota_exp.study.results import JsonObject, PlannedStudy
from sota_exp.study.settings import ANYTIME
from sota_exp.study.terminal_looks import describe_looks
from sota_exp.study.terminal_plan import describe_detectable, describe_tested, format_warning
from sota_exp.study.terminal_time import describe_choice, describe_planning

#: Style of each verdict.
VERDICT_STYLES = {
    "helps": "bold green",
    "hurts": "bold red",
    "helps here": "green",
    "hurts here": "red",
    "cannot be distinguished": "dim",
    "too few seeds": "yellow",
    "failed": "red",
    "reference": "dim",
    "followed": "bold",
    "not followed": "dim",
    "open": "dim",
}

#: What is said of a study whose command was repeated.
ALL_FINISHED = "every run is finished; nothing is trained"

#: Widths of a drawn interval in characters: the first that leaves the numbers whole is used, else none is drawn.
INTERVAL_WIDTHS = (29, 23, 17)


def format_study_heading(study: PlannedStudy, files: StudyFiles) -> Iterable[RenderableType]:
    """The study in a few lines: arms, seeds, refused arms, rules that fire."""
    ready, num_trainings = study.arms.ready, len(find_trainings(study.arms))
    shared = len(ready) - num_trainings
    shares = f", {shared} of them with the training of another arm" if shared else ""
    yield Text.from_markup(
        f"[bold]{escape(study.settings.title)}[/]: {study.recipe} on {escape(study.data)}, by {study.settings.metric}"
    )
    yield indent(f"{study.describe_size()}{shares}, {study.describe_length()}; in {os.path.relpath(files.directory)}")
    if study.time_plan is not None and study.time_plan["recommended"] is not None:
        yield indent(
            f"study.time={study.settings.time}{describe_planning(study.time_plan)}: {describe_choice(study.time_plan)}"
        )
    yield from map(indent, study.notes)
    if study.settings.kind != "auto" and study.find_planned_effect(1.0, len(study.seeds)) is None:
        least = describe_fewest(study.count_fewest_seeds())
        yield indent(f"No verdict is possible with {format_count(len(study.seeds), 'seed')}.{least}", style="yellow")
    by_reason: dict[str, list[str]] = {}
    for name, reason in study.arms.refused:
        by_reason.setdefault(reason, []).append(name)
    for reason, names in by_reason.items():
        yield indent(f"refused {', '.join(names)}: {reason}", style="yellow")
    arms_by_warning: dict[str, list[str]] = {}
    for arm in ready:
        for warning in arm.warnings:
            arms_by_warning.setdefault(warning, []).append(arm.name)
    for warning, names in arms_by_warning.items():
        where = "all arms" if len(names) == len(ready) else ", ".join(names[:4]) + (" …" if len(names) > 4 else "")
        yield indent(f"rule {warning} ({where})", style="yellow")


class ProgressPrinter:
    """One line per finished run, with its score and the time that the rest will take."""

    def __init__(self, study: PlannedStudy, files: StudyFiles, clock: StudyClock) -> None:
        self.study, self.files, self.clock, self.out = study, files, clock, make_console(is_progress=True)
        self.done = 0
        names = [ArmRun(arm=arm, seed=study.seeds[-1], place="").name for arm in study.arms.ready]
        self.width = max(map(cell_len, names))

    def begin(self, missing: Sequence[ArmRun]) -> None:
        """Print how many runs are missing, as far as known, and start the clock."""
        self.began = time.monotonic()
        later = " until the next look" if self.study.seeds[-1] not in {job.seed for job in missing} else ""
        text = f"{len(missing)} runs to train{later}; a line follows when one ends" if missing else ALL_FINISHED
        self.out.print(f"  {text}", style="dim")

    def print_ended_run(self, job: ArmRun, failure: str | None, num_left: int) -> None:
        self.done += 1
        num_runs = self.done + num_left
        left = estimate_remaining(time.monotonic() - self.began, self.done, num_runs, self.files.count_running())
        parts = {"count": f"{self.done:>4}/{num_runs}", "name": set_cell_size(job.name, self.width)}
        if failure is not None:
            parts |= {"outcome": f"failed: {make_printable(failure)}"}
        else:
            result, metric = self.files.result(job.place) or {}, self.study.settings.metric
            parts |= {"outcome": get_metric_format(metric).format_with_unit(result["metrics"].get(metric))}
            parts |= {"took": format_duration(sum(result["seconds"].values()))}
        parts |= {"left": f"{format_duration(min(left, self.clock.seconds_left))} left"}
        self.out.print(join_what_fits(parts, ("took",), self.out.width), style="red" if failure else "", markup=False)
        if late := self.clock.warn(num_runs):
            self.out.print(indent(late, "yellow"))


def describe_state(study: PlannedStudy, files: StudyFiles) -> str:
    """How far the study is, and the command that goes on."""
    places = {files.place(arm, seed) for arm in study.arms.ready for seed in study.seeds}
    num_done, size = sum(map(files.is_finished, places)), study.settings
    most = "" if size.kind == "auto" else f" of {'up to ' * (size.looks is not None)}{len(places)}"
    verb = "run is" if num_done == 1 and not most else "runs are"
    return f"{num_done}{most} {verb} finished; this command goes on:\n{study.command}"


def format_study_result(found: JsonObject) -> RenderableType:
    """The result: a table of arms, effects if there are any, and closing notes."""
    notes = [Text(line, style="dim") for line in _format_closing(found)]
    tables, warning = build_study_tables(found), format_warning(found["warning"])
    parts = [*warning, *tables] if concerns_all_arms(found["warning"]) else [*tables, *warning]
    return Group(*parts, *notes, *format_next(found["next"]["lines"]))


def build_study_tables(found: JsonObject) -> list[RenderableType]:
    """The tables of a study that have rows, of arms, effects and interactions; which left out techniques help."""
    unit = get_metric_format(found["metric"])

    def describe_arm(arm: JsonObject) -> list[str]:
        spread = "" if arm["sd"] is None else f" ± {unit.value(arm['sd'])}"
        return [str(arm["n"]), f"{unit.value(arm['mean'])}{spread}", format_duration(arm["cost"]["seconds"])]

    effects, interactions = (found.get(name) or [] for name in ("effects", "interactions"))
    arms = [arm for arm in found["arms"] if not arm["name"].startswith("cell_") or (arm["n"] and not effects)]
    title = f"{found['title']}: {found['recipe']} on {found['data']}"
    tables = [
        ComparisonTable(found, title, ["arm", "n", found["metric"], "time"], arms, describe_arm),
        ComparisonTable(found, "Main effects", [""], effects, lambda effect: []),
        ComparisonTable(found, "Interactions", [""], interactions, lambda effect: []),
    ]
    answer = [Text(line, style="bold") for line in describe_left_out(found["arms"], unit)]
    return [*(part for table in tables if table.rows for part in ("", table)), *answer]


@dataclass(frozen=True)
class ComparisonTable:
    """Differences, their intervals drawn to scale, and verdicts; before them the label and what `describe` adds.

    Where the terminal is narrow, the drawing shrinks or is left out, then labels are wrapped, then the last thing that
    `describe` adds is left out; numbers and words stay whole.
    """

    found: JsonObject
    title: str
    headings: list[str]
    rows: list[JsonObject]
    describe: Callable[[JsonObject], list[str]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        def measure(table: Table) -> int:
            return console.measure(table, options=options.update(width=10_000)).maximum

        tables = (self.build(width) for width in (*INTERVAL_WIDTHS, 0))
        whole = next((table for table in tables if measure(table) <= options.max_width), None)
        yield whole or self._wrap(options.max_width, measure)

    def _wrap(self, max_width: int, measure: Callable[[Table], int]) -> Table:
        """The table without drawings whose labels and verdicts are wrapped, between words as far as there is room."""
        texts = [[row["label"] for row in self.rows], [row["verdict"] for row in self.rows]]
        lengths = [max(map(cell_len, column)) for column in texts]
        least, verdict = (max(cell_len(word) for text in column for word in text.split()) for column in texts)
        facts = len(self.headings) - 1
        rooms = {
            num: max_width - (measure(self.build(0, num)) - sum(lengths) + verdict)
            for num in (facts, max(0, facts - 1))
        }
        num = next((num for num, room in rooms.items() if room >= least), min(rooms))
        return self.build(0, num, (max(1, min(rooms[num], lengths[0])), verdict))

    def build(self, width: int, num_facts: int | None = None, wrapped: tuple[int, int] | None = None) -> Table:
        """The table with intervals drawn in `width` characters; 0: without them.

        num_facts: of `describe`; None: all. wrapped: the widths of labels and verdicts; None: as wide as they are.
        """
        unit = get_metric_format(self.found["metric"])
        found = [read_headline(row) for row in self.rows]
        ends = [end for each in found if each.headline for end in (each.headline.low, each.headline.high)]
        reach = max(map(abs, [*ends, *(_get_difference(row) or 0.0 for row in self.rows)]), default=0.0)
        gap = (0, 1) if width else (0, 1, 0, 0)  # narrow without the drawing
        table = Table(title=self.title, title_justify="left", box=None, pad_edge=False, padding=gap)
        label, verdict = wrapped or (None, None)
        table.add_column(self.headings[0], overflow="fold", width=label)
        for heading in (
            *self.headings[1:][:num_facts],
            unit.difference_unit or "difference",
            f"{format_level(self.found['level'])} interval",
        ):
            table.add_column(heading, justify="right", no_wrap=True)
        if width:
            table.add_column(_format_scale(reach, unit, width), no_wrap=True)
        table.add_column("p adj.", justify="right", no_wrap=True)
        table.add_column("verdict", width=verdict)
        for row, each in zip(self.rows, found, strict=True):
            style = VERDICT_STYLES[row["verdict"]]
            numbers: list[str | Text] = [""] * (3 + (width > 0))
            middle, interval = _get_difference(row), each.headline
            if middle is not None:
                low, high = (interval.low, interval.high) if interval else (middle, middle)
                bar = [Text(draw_interval_bar(low, middle, high, reach, width), style=style)] if width else []
                span = unit.span(low, high, " … ") if interval else UNKNOWN
                numbers = [unit.difference(middle), span, *bar, format_p_value(each.headline_p)]
            table.add_row(
                escape(row["label"]), *self.describe(row)[:num_facts], *numbers, Text(row["verdict"], style=style)
            )
        return table


def _get_difference(row: JsonObject) -> float | None:
    """The difference of an arm, or the estimate of an effect or interaction."""
    found: float | None = row["estimate"] if "estimate" in row else row["difference"]
    return found


def _format_scale(reach: float, unit: MetricFormat, width: int) -> str:
    """The heading over the intervals, drawn in `width` characters: zero and both ends of the axis."""
    if not reach:
        return ""
    ends = [f"{unit.factor * end:+.{unit.decimals - 1}f}" for end in (-reach, reach)]
    middle = width // 2
    return ends[0].ljust(middle) + "0" + ends[1].rjust(width - middle - 1)


def draw_interval_bar(low: float, middle: float, high: float, reach: float, width: int) -> str:
    """`──●──` in `width` characters on an axis from −reach to +reach, with a stroke at zero."""

    def place(value: float) -> int:
        return round((value + reach) / (2 * reach) * (width - 1)) if reach else width // 2

    cells = [" "] * width
    for index in range(place(low), place(high) + 1):
        cells[index] = "─"
    cells[width // 2] = "┼" if cells[width // 2] == "─" else "│"
    cells[place(middle)] = "●"
    return "".join(cells)


def _format_closing(found: JsonObject) -> list[str]:
    """What verdicts promise, what these seeds could detect, aliases, looks, refused arms, missing runs.

    The page says where the promise ends, and what other numbers of seeds could detect.
    """
    is_anytime = (found["looks"] or {}).get("kind") == ANYTIME
    lines = [(describe_anytime_error_rate if is_anytime else describe_error_rate)(found["level"])]
    lines += describe_tested(found["num_test"], found.get("num_test_per_run"), found.get("num_test_groups"))
    rows = [row for key in ("arms", "effects", "interactions") for row in found[key]]
    if any(_get_difference(row) is not None and read_headline(row).headline is None for row in rows):
        lines.insert(0, f"{UNKNOWN}: {NO_ANYTIME_INTERVAL if is_anytime else NO_INTERVAL}.")
    if any(read_headline(row).headline is not None for row in rows):
        lines.insert(0, "p adj. is corrected for all verdicts of the study together; intervals are not corrected.")
        lines[:0] = [MEANING_OF_HERE] if any(row["verdict"] in SHOWN_HERE for row in rows) else []
        lines.insert(0, MEANING_OF_VERDICTS if any(row["new_images"] for row in rows) else MEANING_HERE)
    lines.insert(0, f"Every run: {found['length']}. ±: how much single runs vary.")
    lines += describe_detectable(found["plan"], len(found["seeds"]), get_metric_format(found["metric"]))
    for effect in found["effects"]:
        if effect["aliases"]:
            lines.append(f"{effect['label']} is aliased with {join_first(effect['aliases'], 2)}")
    if looks := found["looks"]:
        lines.append(describe_looks(looks))
    lines += filter(None, [found["saved"]["cost"]["words"]])
    lines += [f"refused {item['name']}: {item['reason']}" for item in found["refused"]]
    if missing := found["missing"]:
        first = missing[0]
        lines.append(f"missing: {len(missing)} runs, such as {first['arm']}, seed {first['seed']}: {first['reason']}")
    return lines
