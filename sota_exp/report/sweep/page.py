"""The report of a sweep from `sweep.json`: confirmation on fresh seeds, history, importances and the best trials.

Values that the file does not contain are left out.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sota_exp.config.formats import get_format
from sota_exp.errors import ConfigError
from sota_exp.report.document.markdown import Code, Table, link
from sota_exp.report.document.write import WrittenReport, write_report
from sota_exp.report.drawing.chart import BLUE, GREY, TRIANGLES_NOTE, Figure
from sota_exp.report.numbers import format_duration, format_percent
from sota_exp.report.study.read import parse_interval
from sota_exp.report.sweep.terminal import (
    build_arm_table,
    describe_arm_table,
    format_parameter,
    get_test,
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
        found = collect_values(read_sweep(path), directory)
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


def collect_values(tree: Tree, directory: Path) -> dict[str, Any]:
    """What the template shows."""
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
        "confirmation": build_confirmation_figure(tree),
        "has_intervals": any(found.get("interval") for found in list_differences(tree["confirm"])),
        "history": build_history_figure(tree),
        "about_history": describe_history(tree),
        "arms": arms,
        "about_arms": describe_arm_table(tree["confirm"], arms),
        "trials": build_trial_table(tree),
        "importances": build_importance_table(tree),
        "caution": warn_of_few_trials(tree),
        "pictures": [
            link(path.stem.replace("_", " "), f"figures/{quote(path.name)}")
            for path in sorted((directory / "figures").glob("*.png"))
            if not path.with_suffix(".svg").exists()
        ],
    }


def format_parameters(params: Tree) -> str:
    return " ".join(f"{name}={format_parameter(value)}" for name, value in params.items()) or "its own values"


def build_confirmation_figure(tree: Tree) -> Figure | None:
    """Forest plot of the differences from the recipe's own values: of all arms on val, of the winner on test."""
    from sota_exp.report.drawing.forest_and_waterfall import EffectRow
    from sota_exp.report.study.effect_figures import build_forest_figure

    confirm, scale = tree["confirm"], get_metric_format(tree["objective"][0])
    metric = confirm["metric"] or tree["objective"][0]
    measured = [
        (f"{arm['name']}, {name}", found, is_test)
        for arm in confirm["arms"]
        for name, found, is_test in (
            (metric, arm.get("difference"), False),
            (name_test_metric(metric), get_test(confirm, arm), True),
        )
        if found
    ]
    rows = [
        EffectRow(
            label=label,
            mean=found["mean"],
            interval=parse_interval(found["interval"]),
            word=scale.difference(found["mean"]),
            ink=BLUE if is_test else GREY,
            is_hollow=not is_test,
        )
        for label, found, is_test in measured
    ]
    return build_forest_figure("confirmed", rows, scale, "difference from the recipe's own values") if rows else None


def list_differences(confirm: Tree) -> list[Tree]:
    """The differences of the arms of a confirmation on val, and that of the winner on test."""
    return [found for found in (*(arm.get("difference") for arm in confirm["arms"]), confirm.get("test")) if found]


def get_sign(tree: Tree) -> int:
    return -1 if tree["direction"][0] == "minimize" else 1


def list_history(tree: Tree) -> list[dict[str, Any]]:
    """The trials that have a value, with it in its unit."""
    scale = get_metric_format(tree["objective"][0])
    return [
        {
            "number": int(item["number"]),
            "value": scale.factor * float(values[0]),
            "is_complete": item.get("state") == "complete",
            "tip": f"trial {item['number']}: {scale.format_with_unit(values[0])}",
        }
        for item in tree["entries"]
        if (values := item.get("values") or list((item.get("reports") or {}).values())[-1:])
    ]


def describe_history(tree: Tree) -> str:
    """What the marks of the figure are that it has."""
    trials = list_history(tree)
    best = " and the best so far" if any(each["is_complete"] for each in trials) else ""
    words = [f"{tree['objective'][0]} of every trial{best}."]
    if not all(each["is_complete"] for each in trials):
        words.append("Rings: trials that did not finish, at their last report.")
    return " ".join(words)


def build_history_figure(tree: Tree) -> Figure | None:
    """The value of every trial; for a pruned trial, its last report."""
    from sota_exp.report.drawing.search_history import choose_history_range, draw_search_history

    objective, scale = tree["objective"][0], get_metric_format(tree["objective"][0])
    trials, sign = list_history(tree), get_sign(tree)
    if not trials:
        return None
    low, high = choose_history_range([each["value"] for each in trials], sign)
    title = objective + (f", {scale.unit}" if scale.unit else "")
    return Figure(
        name="search_history",
        alt=f"Values of {len(trials)} trials in their order",
        draw=lambda width: draw_search_history(trials, sign, title, (width - 70, 230)),
        note="" if all(low <= each["value"] <= high for each in trials) else TRIANGLES_NOTE,
    )


def build_trial_table(tree: Tree) -> Table:
    """The best trials in the order of their ranking."""
    scales = [get_metric_format(name) for name in tree["objective"]]
    rows = [
        [
            str(item["number"]),
            *(scale.value(value) for scale, value in zip(scales, item["values"], strict=False)),
            Code(format_parameters(item.get("knobs") or item.get("params") or {})),
        ]
        for item in tree["ranking"][:MOST_TRIALS]
    ]
    names = [
        f"{name}, {scale.unit}" if scale.unit else name for name, scale in zip(tree["objective"], scales, strict=True)
    ]
    return Table(["Trial", *names, "Values"], rows, ["Values"])


def build_importance_table(tree: Tree) -> Table:
    found = tree["importances"]
    names = dict.fromkeys(name for shares in found.values() for name in shares)
    rows = [
        [name, *(format_percent(shares[name]) if name in shares else "–" for shares in found.values())]
        for name in names
    ]
    return Table(["Parameter", *found], rows)
