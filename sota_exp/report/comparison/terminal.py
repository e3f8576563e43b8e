"""A comparison on the terminal (runs, differences, results, paired differences), and the same as JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console

from sota_exp.config.values import shorten_middle
from sota_exp.report.comparison import tables
from sota_exp.report.comparison.compare_runs import RunComparison
from sota_exp.report.document.markdown import Table
from sota_exp.report.terminal import escape, format_next, to_rich

#: Longest text of an option or value in a cell.
MAX_LENGTH = 24


def print_comparison(comparison: RunComparison, console: Console) -> None:
    """Print everything, in blocks of as many columns as the console is wide."""
    console.print(to_rich(tables.build_run_table(comparison)))
    results = shorten_values(tables.build_results_table(comparison))
    for columns in split_columns([results.names, *results.rows], console.width):
        console.print()
        console.print(to_rich(results.select([0, *columns])))
    console.print()
    same = "" if comparison.choices or comparison.values else "No choice and no value differs. "
    if explained := same + tables.explain_results_table(comparison, results):
        console.print(explained, style="dim")
    pairs = tables.build_pair_table(comparison).drop_empty_columns()
    if pairs.rows:
        console.print()
        console.print(to_rich(pairs))
        console.print(tables.explain_pair_table(pairs, comparison.part), style="dim")
    for line in format_next(comparison.next):
        console.print(line)
    for note in comparison.notes:
        console.print(f"[yellow]{escape(note)}[/]", soft_wrap=True)
    if comparison.environment:
        facts = [f"{key} {' | '.join(dict.fromkeys(values))}" for key, values in comparison.environment.items()]
        console.print(f"[dim]different between runs: {escape('; '.join(facts))}[/]", soft_wrap=True)


def shorten_values(table: Table) -> Table:
    """The table with long options and values cut in the middle; headings and names stay."""
    rows = [[name, *(type(text)(shorten_middle(text, MAX_LENGTH)) for text in texts)] for name, *texts in table.rows]
    return Table(table.names, rows, table.texts)


def split_columns(rows: Sequence[Sequence[str]], width: int) -> list[range]:
    """Ranges of consecutive columns that fit beside the first column, at least one column each."""
    first, *widths = [max(map(len, column)) + 2 for column in zip(*rows, strict=True)]
    found, begin, used = [], 1, 0
    for index, size in enumerate(widths, start=1):
        if index > begin and used + size > width - first + 2:
            found.append(range(begin, index))
            begin, used = index, 0
        used += size
    return [*found, range(begin, len(widths) + 1)]


def comparison_to_json(comparison: RunComparison) -> dict[str, Any]:
    """The comparison as plain values; fractions in [0, 1], epochs counted from 1."""
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
        "part": comparison.part,
        "pairs": [asdict(each) for each in comparison.pairs],
        "next": comparison.next,
        "notes": comparison.notes,
        "environment": comparison.environment,
    }
