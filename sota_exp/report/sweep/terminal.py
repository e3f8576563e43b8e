"""A sweep on the terminal, from `sweep.json`."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sota_exp.report.numbers import format_percent
from sota_exp.report.sweep.tables import MOST_ROWS, build_trial_table, describe_time, warn_of_few_trials

if TYPE_CHECKING:
    from rich.console import RenderableType


def format_trial_counts(summary: Mapping[str, Any]) -> str:
    trials = summary["trials"]
    return ", ".join(f"{trials[name]} {name}" for name in ("complete", "pruned", "failed", "running") if trials[name])


def describe_importances(summary: Mapping[str, Any]) -> str:
    """What each method finds, and that few trials say little: the methods then contradict each other."""
    methods = summary["importances"].items()
    found = "; ".join(
        f"{method}: {', '.join(f'{name} {format_percent(share)}' for name, share in shares.items())}"
        for method, shares in methods
    )
    caution = warn_of_few_trials(summary)
    return found + (f" ({caution})" if caution else "")


def build_sweep_summary(summary: Mapping[str, Any], directory: Path) -> Iterator["RenderableType"]:
    """The best trials, the cost of the search, and the result of the confirmation."""
    from rich.panel import Panel
    from rich.table import Table

    from sota_exp.report.terminal import escape, make_facts, to_rich

    facts = make_facts()
    facts.add_row("trials", f"{format_trial_counts(summary)} of {summary['n_trials']}")
    facts.add_row("took", describe_time(summary))
    if summary.get("fixed"):
        facts.add_row("all with", escape(" ".join(summary["fixed"])))
    if summary["stopped"]:
        facts.add_row("stopped", escape(summary["stopped"]))
    if summary["best"] is None:
        facts.add_row("best", "none: no complete trial stays within hydra.sweeper.constraints")
    for item in summary["failures"][:MOST_ROWS]:
        facts.add_row(f"trial {item['number']} failed", escape(str(item["reason"])))
    if summary["importances"]:
        facts.add_row("importance", describe_importances(summary))
    found = summary["confirm"]
    facts.add_row("confirmed", escape(found["words"]) if found else "no confirmation was run")
    for line in (found or {}).get("next") or ():
        facts.add_row("next", escape(line))
    facts.add_row("files", escape(f"{directory}/report.html, sweep.json, trials.csv, figures/"))
    grid = Table.grid()
    for part in (to_rich(build_trial_table(summary, MOST_ROWS)), "", facts):
        grid.add_row(part)
    word = str((found or {}).get("verdict", "")).removesuffix(" here")
    colour = {"beats": "green", "loses": "red"}.get(word, "yellow")
    yield Panel(grid, title=f"sweep {escape(summary['name'])}", title_align="left", border_style=colour, expand=False)
    if found and word == "beats":
        yield escape(f"Train with the winner: sota-exp train {' '.join(found['overrides'])}")
