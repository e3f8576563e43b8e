"""A sweep as text from `sweep.json`: the summary on the terminal and the note in MLflow."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sota_exp.report.document.markdown import Code, Table
from sota_exp.report.numbers import format_duration, format_interval, format_percent
from sota_exp.report.study.read import parse_interval
from sota_exp.statistics.units import format_p_value, get_metric_format

if TYPE_CHECKING:
    from rich.console import RenderableType

#: Most trials in a table.
MOST_ROWS = 5

#: Complete trials below which importances say little: the two methods contradict each other.
FEW_TRIALS = 20


def format_parameter(value: Any) -> str:
    """A parameter value in a table; floats with four significant digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def format_trial_counts(summary: Mapping[str, Any]) -> str:
    trials = summary["trials"]
    return ", ".join(f"{trials[name]} {name}" for name in ("complete", "pruned", "failed", "running") if trials[name])


def build_trial_rows(summary: Mapping[str, Any]) -> list[list[str]]:
    """Rows of the best trials and the default: number, objectives, parameters."""
    defaults = {item["number"] for item in summary["entries"] if item["is_default"]}
    sizes = {item["number"]: item.get("inference_size") for item in summary["entries"]}
    vary = len({*sizes.values()} - {None}) > 1
    scales = [get_metric_format(name) for name in summary["objective"]]
    listed = summary["ranking"][:MOST_ROWS]
    listed += [item for item in summary["ranking"][MOST_ROWS:] if item["number"] in defaults]
    return [
        [
            f"{item['number']}{' (the recipe)' if item['number'] in defaults else ''}",
            *(scale.format_with_unit(value) for scale, value in zip(scales, item["values"], strict=False)),
            " ".join(f"{name}={format_parameter(value)}" for name, value in item["knobs"].items())
            + (f", inference at {sizes[item['number']]} px" if vary and sizes[item["number"]] else ""),
        ]
        for item in listed
    ]


def describe_time(summary: Mapping[str, Any]) -> str:
    """The time of the search, and what pruning saved."""
    took = f"{format_duration(summary['seconds'])} of training and scoring"
    share = summary["pruning"]["share_of_full_steps"]
    saved = (
        f"; with pruning, {format_percent(share)} of the steps of full trials were run"
        if summary["trials"]["pruned"] and share
        else ""
    )
    return took + saved


def describe_importances(summary: Mapping[str, Any]) -> str:
    """What each method finds, and that few trials say little: the methods then contradict each other."""
    methods = summary["importances"].items()
    found = "; ".join(
        f"{method}: {', '.join(f'{name} {format_percent(share)}' for name, share in shares.items())}"
        for method, shares in methods
    )
    caution = warn_of_few_trials(summary)
    return found + (f" ({caution})" if caution else "")


def warn_of_few_trials(summary: Mapping[str, Any]) -> str:
    """That importances rest on few trials; "" where they do not."""
    num = summary["trials"].get("complete", 0)
    return f"of {num} trials alone, so little more than chance" if num < FEW_TRIALS else ""


def build_sweep_summary(summary: Mapping[str, Any], directory: Path) -> Iterator["RenderableType"]:
    """The best trials, the cost of the search, and the result of the confirmation."""
    from rich.panel import Panel
    from rich.table import Table

    from sota_exp.report.terminal import escape, make_facts

    best = Table(box=None, pad_edge=False, show_edge=False)
    for heading in ("trial", *summary["objective"], "values"):
        best.add_column(heading, justify="right" if heading in summary["objective"] else "left", overflow="fold")
    for row in build_trial_rows(summary):
        best.add_row(*map(escape, row))
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
    for line in list_next_steps(found):
        facts.add_row("next", escape(line))
    facts.add_row("files", escape(f"{directory}/report.html, sweep.json, trials.csv, figures/"))
    grid = Table.grid()
    for part in (best, "", facts):
        grid.add_row(part)
    word = str((found or {}).get("verdict", "")).removesuffix(" here")
    colour = {"beats": "green", "loses": "red"}.get(word, "yellow")
    yield Panel(grid, title=f"sweep {escape(summary['name'])}", title_align="left", border_style=colour, expand=False)
    if found and word == "beats":
        yield escape(f"Train with the winner: sota-exp train {' '.join(found['overrides'])}")


def list_next_steps(found: Mapping[str, Any] | None) -> list[str]:
    """What would decide whether the winner differs from the recipe's own values; files of older versions lack it."""
    return [str(line) for line in (found or {}).get("next") or ()]


def format_sweep_note(summary: Mapping[str, Any]) -> str:
    """The summary as Markdown, for MLflow and beside the sweep's files."""
    found = summary["confirm"]
    parts = [
        f"**Sweep {summary['name']}**: {format_trial_counts(summary)} of {summary['n_trials']} trials; "
        f"{describe_time(summary)}."
    ]
    if found:
        arms = build_arm_table(found)
        parts += [f"**{found['words']}**", format_markdown_table([list(row) for row in (arms.names, *arms.rows)])]
        parts += [describe_arm_table(found, arms), *list_next_steps(found)]
    parts.append(format_markdown_table([["trial", *summary["objective"], "values"], *build_trial_rows(summary)]))
    if summary.get("fixed"):
        parts.append(f"All of them, and the recipe's own values too, with `{' '.join(summary['fixed'])}`.")
    if summary["importances"]:
        parts.append(f"Importance by {describe_importances(summary)}.")
    parts += [f"Trial {item['number']} failed: {item['reason']}." for item in summary["failures"][:MOST_ROWS]]
    if summary["stopped"]:
        parts.append(f"It stopped early: {summary['stopped']}.")
    parts.append(f"```\n{summary['command']}\n```")
    return "\n\n".join(parts) + "\n"


def build_arm_table(found: Mapping[str, Any]) -> Table:
    """A row per arm of a confirmation: val, by which the winner is chosen; test of the winner, the confirmed result."""
    metric = str(found["metric"])
    scale, test = get_metric_format(metric), name_test_metric(metric)
    unit, points = (f", {part}" if part else "" for part in (scale.unit, scale.difference_unit))
    columns: dict[str, Callable[[Mapping[str, Any]], str]] = {
        "Arm": lambda arm: str(arm["name"]),
        f"{metric}{unit}": lambda arm: scale.value(arm.get("mean")),
        "± sd": lambda arm: scale.value(arm.get("sd")),
        f"{metric}: difference{points}": lambda arm: scale.difference((arm.get("difference") or {}).get("mean")),
        f"{test}: difference{points}": lambda arm: scale.difference(get_test(found, arm).get("mean")),
        "95 % interval": lambda arm: format_interval(scale, parse_interval(get_test(found, arm).get("interval"))),
        "95 %: new images": lambda arm: format_interval(
            scale, parse_interval((get_test(found, arm).get("new_images") or {}).get("interval"))
        ),
        "p": lambda arm: format_p_value(get_test(found, arm).get("p_value")),
        "Overrides": lambda arm: Code(" ".join(map(str, arm.get("overrides") or ())) or "the recipe's own values"),
    }
    return Table.of(found["arms"], columns, ["Overrides"]).drop_empty_columns()


def name_test_metric(metric: str) -> str:
    """The test metric of the confirmation of a search by a val metric."""
    return metric.replace("val/", "test/")


def get_test(found: Mapping[str, Any], arm: Mapping[str, Any]) -> Mapping[str, Any]:
    """The difference of the winner from the recipe's own values on test; {} for other arms, which have none."""
    return (found.get("test") or {}) if arm["name"] == found["winner"] else {}


def describe_arm_table(found: Mapping[str, Any], table: Table) -> str:
    """What the columns of the table are, below which the result on test is also the headline."""
    metric, test = str(found["metric"]), name_test_metric(str(found["metric"]))
    chosen = " on other seeds than these" if found.get("choice_seeds") else ""
    words = [f"The confirmation on fresh seeds. The winner is chosen by {metric}{chosen}."]
    if any(name.startswith(f"{test}: difference") for name in table.names):
        words.append(f"{test} of the winner against the recipe's own values, paired by seed, is the confirmed result.")
    return " ".join(words)


def format_markdown_table(lines: list[list[str]]) -> str:
    """A Markdown table with em spaces, because MLflow displays tables without space between columns."""
    table = ["| " + " | ".join(f"{cell}\u2003" for cell in line) + " |" for line in lines]
    return "\n".join([table[0], "|---" * len(lines[0]) + "|", *table[1:]])
