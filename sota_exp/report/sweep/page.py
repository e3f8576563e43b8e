"""The report of a sweep from `sweep.json`: confirmation on fresh seeds, history, importances and the best trials.

Values that the file does not contain are left out. The note in MLflow is the same text without figures.
"""

import json
import re
from pathlib import Path
from typing import Any

from sota_exp.config.formats import get_format
from sota_exp.errors import ConfigError
from sota_exp.report.document.write import WrittenReport, render_markdown, write_report
from sota_exp.report.study.runs import read_first_run
from sota_exp.report.sweep import tables
from sota_exp.report.sweep.tables import MOST_ROWS, Tree
from sota_exp.statistics.units import get_metric_format

TEMPLATE = "sweep/sweep.md.jinja"

#: Most rows of the table of trials.
MOST_TRIALS = 30

#: What a file that does not contain a value says.
ABSENT: Tree = {
    "objective": "val/accuracy", "direction": "maximize", "trials": {}, "seconds": 0, "best": {}, "ranking": (),
    "failures": (), "importances": {}, "entries": (), "stopped": "", "command": "", "fixed": (),
    "pruning": {"share_of_full_steps": None},
    "confirm": {
        "words": "", "winner": None, "metric": "", "overrides": (), "arms": (), "choice_seeds": (), "test": None,
        "next": (),
    },
}  # fmt: skip


def write_sweep_report(directory: Path) -> WrittenReport:
    """Write the report of the sweep in a directory, by the template `sweep.md.jinja`.

    Raises:
        ConfigError: `sweep.json` is missing or malformed.
    """
    from sota_exp.report.sweep import figures
    from sota_exp.runs.find import find_runs_below

    path = directory / "sweep.json"
    try:
        tree = read_sweep(path)
        drawn = {"confirmation": figures.build_confirmation_figure(tree), "figures": figures.build_search_figures(tree)}
        read = {"history": figures.list_history(tree), "first": read_first_run(find_runs_below(directory))}
        return write_report(directory, TEMPLATE, **collect_values(tree, MOST_TRIALS), **drawn, **read)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(f"{path}: not the format of a sweep: {type(error).__name__}: {error}") from error


def format_sweep_note(summary: Tree) -> str:
    """The report without figures, with em spaces in tables: MLflow displays them without space between columns.

    summary: as in `sweep.json`.
    """
    values = collect_values(fill_in(summary), MOST_ROWS) | {"confirmation": None, "figures": {}}
    text = render_markdown(TEMPLATE, **values).text
    return re.sub(r"(?m)^\|.*$", lambda row: row[0].replace(" |", "\N{EM SPACE}|"), text)


def read_sweep(path: Path) -> Tree:
    """The content of `sweep.json` with every key of `ABSENT`; objectives and directions are lists.

    Raises:
        ConfigError: a later version wrote it.
    """
    found = json.loads(path.read_text())
    get_format(found, path)
    return fill_in({"name": path.parent.name, **found})


def fill_in(found: Tree) -> Tree:
    """As `read_sweep`, of the content."""
    tree = {**ABSENT, **{key: value for key, value in found.items() if value is not None}}
    tree["confirm"] = {**ABSENT["confirm"], **tree["confirm"]}
    for key in ("objective", "direction"):
        tree[key] = [tree[key]] if isinstance(tree[key], str) else list(map(str, tree[key]))
    return tree


def collect_values(tree: Tree, most: int) -> dict[str, Any]:
    """What the template shows beside figures. most: rows of the table of trials."""
    best, confirm = tree["best"].get("value"), tree["confirm"]
    differences = [confirm["test"], *(arm.get("difference") for arm in confirm["arms"])]
    return {
        "tree": tree,
        "tables": tables,
        "most": most,
        "test_metric": tables.name_test_metric(confirm["metric"] or tree["objective"][0]),
        "facts": [
            f"Objective {', '.join(tree['objective'])}",
            *(f"{num:,} {state}" for state, num in tree["trials"].items() if num),
            *([tables.describe_time(tree)] if tree["seconds"] else []),
        ],
        "best_value": get_metric_format(tree["objective"][0]).format_with_unit(
            best[0] if isinstance(best, list) else best
        ),
        "has_intervals": any(found and found.get("interval") for found in differences),
    }
