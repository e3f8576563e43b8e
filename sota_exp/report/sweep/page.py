"""The report of a sweep from `sweep.json`: confirmation on fresh seeds, history, importances and the best trials.

Values that the file does not contain are left out.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sota_exp.errors import ConfigError
from sota_exp.report.document.document import (
    Block,
    BulletList,
    CodeBlock,
    Document,
    DocumentFigure,
    DocumentTable,
    TableCell,
    build_table,
    cell,
    code,
    paragraph,
    rich_text,
    section,
    strong,
)
from sota_exp.report.document.write import WrittenReport, write_document
from sota_exp.report.numbers import format_count, format_duration, format_interval, format_or_dash
from sota_exp.report.study.read import parse_interval
from sota_exp.report.sweep.terminal import format_parameter
from sota_exp.statistics.units import UNKNOWN, format_p_value, get_metric_format

Tree = Mapping[str, Any]

#: Most rows of the table of trials.
MOST_TRIALS = 30


def write_sweep_report(directory: Path) -> WrittenReport:
    """Write the report of the sweep in a directory.

    Raises:
        ConfigError: `sweep.json` is missing or malformed.
    """
    path = directory / "sweep.json"
    try:
        tree = json.loads(path.read_text())
        made = build_document(tree, directory)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(f"{path}: not the format of a sweep: {type(error).__name__}: {error}") from error
    return write_document(made, directory)


def build_document(tree: Tree, directory: Path) -> Document:
    name = str(tree.get("name") or directory.name)
    sections = [
        section("Confirmation on fresh seeds", "confirmed", build_confirmation_figure(tree), build_arm_table(tree)),
        section("History of the search", "search", build_history_figure(tree), build_trial_table(tree)),
        section("Importance of parameters", "importance", build_importance_table(tree)),
        section("Failures", "failures", build_failures(tree)),
        section("How to reproduce", "reproduce", *build_reproduction(tree)),
    ]
    return Document(
        title=f"Sweep {name}",
        facts=build_facts(tree),
        answer=build_answer(tree),
        sections=sections,
        colophon=["Made by ", code("sota-exp report"), " from ", code("sweep.json", "sweep.json"), "."],
    ).number_blocks()


def build_facts(tree: Tree) -> list[str]:
    trials = tree.get("trials") or {}
    found = [f"{num:,} {state}" for state, num in trials.items() if num]
    took = tree.get("seconds")
    return [
        f"Objective {', '.join(get_objectives(tree))}",
        *found,
        *([f"{format_duration(took)} in all"] if took else []),
    ]


def get_objectives(tree: Tree) -> list[str]:
    found = tree.get("objective") or ["val/accuracy"]
    return [found] if isinstance(found, str) else list(map(str, found))


def get_signs(tree: Tree) -> list[int]:
    found = tree.get("direction") or ["maximize"]
    return [-1 if word == "minimize" else 1 for word in ([found] if isinstance(found, str) else found)]


def build_answer(tree: Tree) -> list[Block]:
    confirm, best = tree.get("confirm"), tree.get("best")
    found: list[Block] = []
    if confirm:
        found.append(paragraph(strong(str(confirm.get("words") or confirm.get("verdict") or "")), tone="lead"))
    if best:
        value, scale = best.get("value"), get_metric_format(get_objectives(tree)[0])
        value = value[0] if isinstance(value, list) else value
        words = (
            f"Trial {best.get('number')} is best on {get_objectives(tree)[0]}: {scale.format_with_unit(value)}, with "
        )
        found.append(
            paragraph(
                words, code(format_parameters(best.get("params") or {})), ".", tone="plain" if confirm else "lead"
            )
        )
    if not found:
        found.append(paragraph("No trial of this sweep is complete.", tone="lead"))
    found.append(
        paragraph("The value of the best of many trials is biased upwards; only fresh seeds show whether it is better.")
    )
    return found


def format_parameters(params: Tree) -> str:
    return " ".join(f"{name}={format_parameter(value)}" for name, value in params.items()) or "its own values"


def get_arms(tree: Tree) -> list[Tree]:
    return list((tree.get("confirm") or {}).get("arms") or ())


def build_confirmation_figure(tree: Tree) -> DocumentFigure | None:
    """Forest plot of the confirmed arms against the recipe's own values."""
    from sota_exp.report.drawing.chart import BLUE, GREY
    from sota_exp.report.drawing.effects import EffectRow
    from sota_exp.report.study.figures import build_forest_figure

    scale, metric = (
        get_metric_format(get_objectives(tree)[0]),
        (tree.get("confirm") or {}).get("metric", get_objectives(tree)[0]),
    )
    rows = [
        EffectRow(
            label=str(arm["name"]),
            mean=arm["difference"]["mean"],
            interval=parse_interval(arm["difference"]["interval"]),
            word=scale.difference(arm["difference"]["mean"]),
            ink=BLUE if arm["name"] == tree["confirm"].get("winner") else GREY,
            is_hollow=arm["name"] != tree["confirm"].get("winner"),
        )
        for arm in get_arms(tree)
        if arm.get("difference")
    ]
    if not rows:
        return None
    caption = (
        f"{metric} on fresh seeds against the recipe's own values, paired by seed, with intervals. Filled: the winner."
    )
    title = f"difference of {metric} from the recipe's own values"
    return build_forest_figure("confirmed", rows, scale, title, caption)


def build_arm_table(tree: Tree) -> DocumentTable | None:
    scale = get_metric_format(get_objectives(tree)[0])
    rows = []
    for arm in get_arms(tree):
        change = arm.get("difference") or {}
        rows.append(
            [
                cell(str(arm["name"])),
                cell(scale.value(arm.get("mean"))),
                cell(scale.value(arm.get("sd"))),
                cell(scale.difference(change.get("mean"))),
                cell(format_interval(scale, parse_interval(change.get("interval")))),
                cell(format_p_value(change.get("p_value"))),
                TableCell(words=[code(" ".join(map(str, arm.get("overrides") or ())) or "the recipe's own values")]),
            ]
        )
    names = ["Arm", "Mean", "± sd", "Difference", "Interval", "p", "Overrides"]
    caption = f"The confirmation on {(tree.get('confirm') or {}).get('metric', '')}: means over fresh seeds."
    return build_table(caption, names, rows, ["Overrides"]) if rows else None


def build_history_figure(tree: Tree) -> DocumentFigure | None:
    """The value of every trial; for a pruned trial, its last report."""
    from sota_exp.report.drawing.points import draw_search_history

    objective = get_objectives(tree)[0]
    scale = get_metric_format(objective)
    trials = [
        {
            "number": int(item["number"]),
            "value": scale.factor * value,
            "is_complete": item.get("state") == "complete",
            "tip": f"trial {item['number']}: {scale.format_with_unit(value)}",
        }
        for item in tree.get("entries") or ()
        if (value := get_last_value(item)) is not None
    ]
    if not trials:
        return None
    title = objective + (f", {scale.unit}" if scale.unit else "")
    return DocumentFigure(
        name="search_history",
        caption=f"{objective} of every trial and the best so far. Rings: trials that did not finish, at their last report.",
        alt=f"Values of {len(trials)} trials in their order",
        draw=lambda width: draw_search_history(trials, get_signs(tree)[0], title, (width - 70, 230)),
    )


def get_last_value(item: Tree) -> float | None:
    values = item.get("values") or list((item.get("reports") or {}).values())[-1:]
    return float(values[0]) if values else None


def build_trial_table(tree: Tree) -> DocumentTable | None:
    """The best trials in the order of their ranking."""
    scales = [get_metric_format(name) for name in get_objectives(tree)]
    ranking = list(tree.get("ranking") or ())
    rows = [
        [
            cell(str(item["number"])),
            *(cell(scale.value(value)) for scale, value in zip(scales, item["values"], strict=False)),
            TableCell(words=[code(format_parameters(item.get("knobs") or item.get("params") or {}))]),
        ]
        for item in ranking[:MOST_TRIALS]
    ]
    names = ["Trial", *get_objectives(tree), "Values"]
    more = f" The first {MOST_TRIALS} of {len(ranking):,}; all are in trials.csv." if len(ranking) > MOST_TRIALS else ""
    return build_table(f"The best trials.{more}", names, rows, ["Values"]) if rows else None


def build_importance_table(tree: Tree) -> DocumentTable | None:
    found = tree.get("importances") or {}
    names = list(dict.fromkeys(name for shares in found.values() for name in shares))
    rows = [
        [
            cell(name),
            *(cell(format_or_dash(shares.get(name), lambda share: f"{share:.0%}")) for shares in found.values()),
        ]
        for name in names
    ]
    caption = (
        "The share of the objective's variation over this search that each parameter accounts for, by each method."
    )
    return build_table(caption, ["Parameter", *found], rows) if rows else None


def build_failures(tree: Tree) -> BulletList | None:
    failed = list(tree.get("failures") or ())
    items = [rich_text(strong("The search stopped early"), f": {tree['stopped']}")] if tree.get("stopped") else []
    items += [
        rich_text(strong(f"Trial {item.get('number')}"), f": {item.get('reason')}") for item in failed[:MOST_TRIALS]
    ]
    if len(failed) > MOST_TRIALS:
        items.append(rich_text(f"and {format_count(len(failed) - MOST_TRIALS, 'trial')} more"))
    return BulletList(items=items) if items else None


def build_reproduction(tree: Tree) -> list[Block]:
    found: list[Block] = [CodeBlock(text=str(tree["command"]))] if tree.get("command") else []
    winner = (tree.get("confirm") or {}).get("overrides")
    if winner:
        found += [
            paragraph("One training with the winner's values:"),
            CodeBlock(text="sota-exp train " + " ".join(winner)),
        ]
    return found or [paragraph(f"The command is not recorded ({UNKNOWN}).")]
