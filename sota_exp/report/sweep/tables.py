"""The tables of a sweep, for its page, the terminal and the note in MLflow."""

from collections.abc import Mapping
from typing import Any

from sota_exp.report.document.markdown import Code, Columns, Table
from sota_exp.report.numbers import format_duration, format_interval, format_percent
from sota_exp.report.study.read import parse_interval
from sota_exp.statistics.units import format_p_value, get_metric_format

Tree = Mapping[str, Any]

#: Most trials in a table of the terminal or of a note.
MOST_ROWS = 5

#: Complete trials below which importances say little: the two methods contradict each other.
FEW_TRIALS = 20


def describe_time(tree: Tree) -> str:
    """The time of the search, and what pruning saved."""
    took = f"{format_duration(tree['seconds'])} of training and scoring"
    share = tree["pruning"]["share_of_full_steps"]
    if not (tree["trials"].get("pruned") and share):
        return took
    return f"{took}; with pruning, {format_percent(share)} of the steps of full trials were run"


def format_parameter(value: Any) -> str:
    """A parameter value in a table; floats with four significant digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def format_parameters(params: Tree) -> str:
    return " ".join(f"{name}={format_parameter(value)}" for name, value in params.items()) or "its own values"


def build_trial_table(tree: Tree, most: int) -> Table:
    """The best trials in the order of their ranking, and the recipe's own values."""
    entries = {item["number"]: item for item in tree["entries"]}
    own = {number for number, item in entries.items() if item.get("is_default")}
    sizes = {number: item.get("inference_size") for number, item in entries.items()}
    vary = len({*sizes.values()} - {None}) > 1
    scales = [get_metric_format(name) for name in tree["objective"]]
    listed = [item for at, item in enumerate(tree["ranking"]) if at < most or item["number"] in own]
    rows = [
        [
            f"{item['number']}{' (the recipe)' if item['number'] in own else ''}",
            *(scale.value(value) for scale, value in zip(scales, item["values"], strict=False)),
            Code(
                format_parameters(item.get("knobs") or item.get("params") or {})
                + (f", inference at {sizes[item['number']]} px" if vary and sizes.get(item["number"]) else "")
            ),
        ]
        for item in listed
    ]
    names = [scale.title(name) for name, scale in zip(tree["objective"], scales, strict=True)]
    return Table(["Trial", *names, "Values"], rows, ["Values"])


def build_importance_table(tree: Tree) -> Table:
    found = tree["importances"]
    names = dict.fromkeys(name for shares in found.values() for name in shares)
    rows = [
        [name, *(format_percent(shares[name]) if name in shares else "–" for shares in found.values())]
        for name in names
    ]
    return Table(["Parameter", *found], rows)


def warn_of_few_trials(tree: Tree) -> str:
    """That importances rest on few trials; "" where they do not."""
    num = tree["trials"].get("complete", 0)
    return f"of {num} trials alone, so little more than chance" if num < FEW_TRIALS else ""


def build_arm_table(found: Mapping[str, Any]) -> Table:
    """A row per arm of a confirmation: val, by which the winner is chosen; test of the winner, the confirmed result."""
    metric = str(found["metric"])
    scale, test = get_metric_format(metric), name_test_metric(metric)
    columns: Columns = {
        "Arm": lambda arm: str(arm["name"]),
        scale.title(metric): lambda arm: scale.value(arm.get("mean")),
        "± sd": lambda arm: scale.value(arm.get("sd")),
        scale.difference_title(f"{metric}: difference"): lambda arm: scale.difference(
            (arm.get("difference") or {}).get("mean")
        ),
        scale.difference_title(f"{test}: difference"): lambda arm: scale.difference(get_test(found, arm).get("mean")),
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
