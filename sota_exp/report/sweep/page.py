"""The report of a sweep from `sweep.json`: confirmation on fresh seeds, history, importances and the best trials.

Values that the file does not contain are left out.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sota_exp.config.formats import get_format
from sota_exp.errors import ConfigError
from sota_exp.report.document.write import WrittenReport, write_report
from sota_exp.report.numbers import format_duration
from sota_exp.report.sweep.tables import (
    build_arm_table,
    build_importance_table,
    build_trial_table,
    describe_arm_table,
    format_parameters,
    name_test_metric,
    warn_of_few_trials,
)
from sota_exp.statistics.units import get_metric_format

Tree = Mapping[str, Any]

#: Most rows of the table of trials.
MOST_TRIALS = 30

#: What a file that does not contain a value says.
ABSENT: Tree = {
    "objective": "val/accuracy", "direction": "maximize", "trials": {}, "seconds": 0, "best": {}, "ranking": (),
    "failures": (), "importances": {}, "entries": (), "stopped": "", "command": "",
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
    path = directory / "sweep.json"
    try:
        found = collect_values(read_sweep(path))
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(f"{path}: not the format of a sweep: {type(error).__name__}: {error}") from error
    return write_report(directory, "sweep/sweep.md.jinja", **found)


def read_sweep(path: Path) -> Tree:
    """The content of `sweep.json` with every key of `ABSENT`; objectives and directions are lists.

    Raises:
        ConfigError: a later version wrote it.
    """
    found = json.loads(path.read_text())
    get_format(found, path)
    tree = {"name": path.parent.name, **ABSENT, **{key: value for key, value in found.items() if value is not None}}
    tree["confirm"] = {**ABSENT["confirm"], **tree["confirm"]}
    for key in ("objective", "direction"):
        tree[key] = [tree[key]] if isinstance(tree[key], str) else list(map(str, tree[key]))
    return tree


def collect_values(tree: Tree) -> dict[str, Any]:
    """What the template shows."""
    from sota_exp.report.sweep import figures

    best = tree["best"].get("value")
    best = best[0] if isinstance(best, list) else best
    arms = build_arm_table(tree["confirm"])
    return {
        "tree": tree,
        "test_metric": name_test_metric(tree["confirm"]["metric"] or tree["objective"][0]),
        "most": MOST_TRIALS,
        "facts": [
            f"Objective {', '.join(tree['objective'])}",
            *(f"{num:,} {state}" for state, num in tree["trials"].items() if num),
            *([f"{format_duration(tree['seconds'])} in all"] if tree["seconds"] else []),
        ],
        "best_value": get_metric_format(tree["objective"][0]).format_with_unit(best),
        "best_values": format_parameters(tree["best"].get("params") or {}),
        "winner": " ".join(["sota-exp train", *tree["confirm"]["overrides"]]),
        "confirmation": figures.build_confirmation_figure(tree),
        "has_intervals": any(
            found and found.get("interval")
            for found in (*(arm.get("difference") for arm in tree["confirm"]["arms"]), tree["confirm"]["test"])
        ),
        "figures": figures.build_search_figures(tree),
        "about_history": describe_history(tree, figures.list_history(tree)),
        "arms": arms,
        "about_arms": describe_arm_table(tree["confirm"], arms),
        "trials": build_trial_table(tree, MOST_TRIALS),
        "importances": build_importance_table(tree),
        "caution": warn_of_few_trials(tree),
    }


def describe_history(tree: Tree, trials: Sequence[Tree]) -> str:
    """What the marks of the figure are that it has."""
    best = " and the best so far" if any(each["is_complete"] for each in trials) else ""
    words = [f"{tree['objective'][0]} of every trial{best}."]
    if not all(each["is_complete"] for each in trials):
        words.append("Rings: trials that did not finish, at their last report.")
    return " ".join(words)
