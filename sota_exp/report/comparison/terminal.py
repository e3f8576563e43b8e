"""A comparison on the terminal (runs, differences, results, paired differences), and the same as JSON."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sota_exp.report.comparison.compute import Cell, Comparison
from sota_exp.report.comparison.groups import Group
from sota_exp.report.comparison.pairs import Pair
from sota_exp.report.numbers import plain_value
from sota_exp.statistics.paired import Estimate
from sota_exp.statistics.units import SHARE, UNKNOWN, p_value

#: Longest text of an option or value in a cell.
MAX_LENGTH = 24

#: By number: name of the row, factor to the displayed unit, decimals.
ROWS = {
    "val/accuracy": ("val accuracy, %", 100, 2),
    "val/top5_accuracy": ("val top-5, %", 100, 2),
    "val/loss": ("val loss", 1, 4),
    "val/ece": ("val calibration error", 1, 3),
    "test/accuracy": ("test accuracy, %", 100, 2),
    "test/top5_accuracy": ("test top-5, %", 100, 2),
    "test/loss": ("test loss", 1, 4),
    "test/ece": ("test calibration error", 1, 3),
    "best/epoch": ("best epoch", 1, 0),
    "training_seconds": ("training, s", 1, 1),
    "images_per_second": ("images/s", 1, 0),
    "peak_memory_bytes": ("peak memory, MiB", 2**-20, 0),
    "parameters": ("parameters, M", 1e-6, 2),
    "flops_per_image": ("GFLOPs an image", 1e-9, 3),
}

#: Metrics that count from 0 in files and are displayed from 1.
FROM_ONE = ("best/epoch",)

Row = tuple[str, list[str]]


def show(comparison: Comparison, console: Console) -> None:
    """Print everything, in blocks of as many columns as the console is wide."""
    console.print(build_legend(comparison.groups))
    sections = [
        build_difference_rows(comparison),
        build_score_rows(comparison),
        build_cost_rows(comparison),
        [build_status_row(comparison)],
    ]
    for columns in blocks(sections, len(comparison.groups), console.width):
        console.print()
        console.print(build_results_table(comparison.groups, sections, columns))
    console.print()
    console.print(f"[dim]{explain_spread(comparison)}[/]")
    if comparison.pairs:
        console.print()
        console.print(build_pair_table(comparison.pairs))
        if len(comparison.pairs) > 1:
            console.print(f"[dim]{len(comparison.pairs)} intervals, not corrected for multiple comparisons.[/]")
    for note in comparison.notes:
        console.print(f"[yellow]{escape(note)}[/]", soft_wrap=True)
    if comparison.environment:
        facts = [f"{key} {' | '.join(dict.fromkeys(values))}" for key, values in comparison.environment.items()]
        console.print(f"[dim]different between runs: {escape('; '.join(facts))}[/]", soft_wrap=True)


def build_legend(groups: Sequence[Group]) -> Table:
    grid = Table.grid(padding=(0, 2))
    for group in groups:
        seeds = ", ".join(map(str, group.seeds))
        count = f" (n = {len(group.runs)})" if len(group.runs) > 1 else ""
        grid.add_row(
            f"[bold]{group.name}[/]", escape(format_directories(group)), f"seed{'s' if count else ''} {seeds}{count}"
        )
    return grid


def format_directories(group: Group) -> str:
    """One path; several in one folder as `parent/{0,2}`."""
    paths = [Path(run.name) for run in group.runs]
    if len(paths) == 1:
        return str(paths[0])
    if len({path.parent for path in paths}) == 1:
        return f"{paths[0].parent}/{{{','.join(path.name for path in paths)}}}"
    return ", ".join(map(str, paths))


def build_difference_rows(comparison: Comparison) -> list[Row]:
    """Slots first, then values."""
    rows = {**comparison.choices, **comparison.values}
    return [(name, [escape(short(value)) for value in values]) for name, values in rows.items()]


def short(value: object) -> str:
    text = plain_value(value, none=UNKNOWN)
    return text if len(text) <= MAX_LENGTH else f"{text[: MAX_LENGTH - 1]}…"


def build_score_rows(comparison: Comparison) -> list[Row]:
    return [
        (
            ROWS[name][0],
            [number(name, cell, index in comparison.best.get(name, ())) for index, cell in enumerate(cells)],
        )
        for name, cells in comparison.metrics.items()
    ]


def build_cost_rows(comparison: Comparison) -> list[Row]:
    return [(ROWS[name][0], [number(name, cell, False) for cell in cells]) for name, cells in comparison.costs.items()]


def number(name: str, cell: Cell | None, is_best: bool) -> str:
    """`83.87 ± 1.29`, the best in bold."""
    if cell is None:
        return "–"
    _, factor, decimals = ROWS[name]
    mean = cell.mean + (name in FROM_ONE)
    is_constant = cell.sd == 0
    text = f"{mean * factor:,.{decimals}f}"
    spread = cell.sd if cell.sd is not None else cell.standard_error
    if spread is not None and not (is_constant and name in ("parameters", "flops_per_image", "best/epoch")):
        text += f" ± {spread * factor:,.{max(decimals, int(name in FROM_ONE))}f}"
    return f"[bold]{text}[/]" if is_best else text


def build_status_row(comparison: Comparison) -> Row:
    words = [dict.fromkeys(_format_status(run) for run in group.runs) for group in comparison.groups]
    return "status", [", ".join(each) for each in words]


def _format_status(run: Any) -> str:
    return "evaluation" if run.is_evaluation and run.is_complete else str(run.status).replace("_", " ")


def blocks(sections: Sequence[list[Row]], num: int, width: int) -> list[range]:
    """Ranges of consecutive columns that fit beside the row names, at least one column each."""
    rows = [row for section in sections for row in section]
    left = width - max(len(name) for name, _ in rows)
    widths = [max(_length(cells[index]) for _, cells in rows) + 2 for index in range(num)]
    found, begin, used = [], 0, 0
    for index, size in enumerate(widths):
        if index > begin and used + size > left:
            found.append(range(begin, index))
            begin, used = index, 0
        used += size
    return [*found, range(begin, num)]


def _length(text: str) -> int:
    return len(text.removeprefix("[bold]").removesuffix("[/]"))


def build_results_table(groups: Sequence[Group], sections: Sequence[list[Row]], columns: range) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("", style="cyan", no_wrap=True)
    for index in columns:
        table.add_column(groups[index].name, justify="right", no_wrap=True)
    there = [section for section in sections if section]
    for place, section in enumerate(there):
        for name, cells in section:
            table.add_row(escape(name), *(cells[index] for index in columns))
        if place < len(there) - 1:
            table.add_row()
    return table


def explain_spread(comparison: Comparison) -> str:
    """What ± and bold mean in this table."""
    words = []
    if not (comparison.choices or comparison.values):
        words.append("No choice and no value differs.")
    if any(len(group.runs) > 1 for group in comparison.groups):
        words.append("± of several seeds: their standard deviation.")
    if any(len(group.runs) == 1 for group in comparison.groups):
        words.append("± of one run: the standard error from the number of images.")
    if any(comparison.best.values()):
        words.append("Bold: the highest or lowest, which alone means nothing.")
    return " ".join(words)


def build_pair_table(found: Sequence[Pair]) -> Table:
    """Differences of test accuracy in percentage points with 95 % intervals."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("test accuracy", no_wrap=True)
    table.add_column("points", justify="right", no_wrap=True)
    rows: list[tuple[str, Callable[[Pair], str]]] = [
        ("95 %: images", lambda each: interval(each.images)),
        ("95 %: seeds", lambda each: interval(each.seeds)),
        ("won : lost", lambda each: f"{each.mcnemar.won} : {each.mcnemar.lost}" if each.mcnemar else "–"),
        ("McNemar p", lambda each: p_value(each.mcnemar.p_value) if each.mcnemar else "–"),
    ]
    shown = [(name, text) for name, text in rows if any(text(each) != "–" for each in found)]
    for name, _ in shown:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    for each in found:
        points = SHARE.difference(each.images.mean if each.images else None)
        table.add_row(f"{each.second} − {each.first}", points, *(text(each) for _, text in shown), each.remark)
    return table


def interval(estimate: Estimate | None) -> str:
    return UNKNOWN if estimate is None else SHARE.span(estimate.low, estimate.high, " … ")


def as_json(comparison: Comparison) -> dict[str, Any]:
    """The comparison as plain values; fractions in [0, 1], epochs counted from 0 as in the files."""
    return {
        "groups": [
            {
                "name": group.name,
                "runs": [run.name for run in group.runs],
                "seeds": group.seeds,
                "n": len(group.runs),
                "status": [run.status for run in group.runs],
                "kind": "evaluation" if group.first.is_evaluation else "run",
                "choices": group.first.choices,
            }
            for group in comparison.groups
        ],
        "differing": {"choices": comparison.choices, "values": comparison.values},
        "metrics": {name: [cell and asdict(cell) for cell in cells] for name, cells in comparison.metrics.items()},
        "cost": {name: [cell and asdict(cell) for cell in cells] for name, cells in comparison.costs.items()},
        "best": {name: [comparison.groups[index].name for index in sorted(at)] for name, at in comparison.best.items()},
        "pairs": [asdict(each) for each in comparison.pairs],
        "notes": comparison.notes,
        "environment": comparison.environment,
    }
