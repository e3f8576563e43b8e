"""The plan of `study.time` on the terminal: what can be afforded, what each option shows, and the recommended one."""

from collections.abc import Mapping

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sota_exp.config.values import join_first
from sota_exp.report.numbers import format_count, format_duration
from sota_exp.report.terminal import indent
from sota_exp.statistics.units import UNKNOWN, MetricFormat, get_metric_format
from sota_exp.study.results import JsonObject

#: Before the recommended option.
MARK = "→"


def format_time_plan(plan: JsonObject, allowed: str) -> RenderableType:
    """A table of the options and the recommended one, in 80 columns. allowed: `study.time` as it was typed."""
    unit, best = get_metric_format(plan["metric"]), plan["recommended"]
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("")
    table.add_column("design")
    for heading in ("epochs", "tested", "seeds", "runs", "time"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("shows on\nother images", "on these\nimages"):
        table.add_column(heading, justify="right", no_wrap=True)
    for index, option in enumerate(plan["options"]):
        numbers = [str(option[name]) for name in ("epochs", "num_tested", "seeds", "runs")]
        effects = [_format_effect(option[name], unit) for name in ("shows", "shows_here")]
        row = [option["design"], *numbers, format_duration(option["seconds"]), *effects]
        table.add_row(MARK if index == best else "", *row, style="bold" if index == best else "")
    heading = (
        f"What {allowed} can buy, {describe_order(plan.get('runs_at_once', 1))} "
        f"({format_duration(plan['seconds_per_run'])} a run){describe_planning(plan)}:"
    )
    shown = table if plan["options"] else Text("Not one seed of every arm.")
    first, *others = map(Text, _describe(plan, unit))
    return Group("", Text(heading), "", shown, "", first, *_format_ways(plan), *others)


def _format_ways(plan: JsonObject) -> list[RenderableType]:
    """What would let the study decide something, where nothing is recommended."""
    ways = plan.get("ways")
    return [Text("What would change that (--plan measures it):"), *(indent(way, "") for way in ways)] if ways else []


def describe_planning(plan: JsonObject) -> str:
    """How long the plan took, which `study.time` includes; empty for plans of older versions."""
    return f", planned in {format_duration(plan['seconds'])}" if "seconds" in plan else ""


def describe_order(num_at_once: int) -> str:
    """How many runs are trained at a time."""
    return "one run after the other" if num_at_once == 1 else f"{num_at_once} runs at a time"


def describe_unmeasured(costs: Mapping[str, object], num_arms: int) -> str:
    """Each reason why arms have no cost, once, with these arms; empty where all have one. costs: arm → cost or reason.

    num_arms: of the study.
    """
    arms_by_reason: dict[str, list[str]] = {}
    for name, cost in costs.items():
        if isinstance(cost, str):
            arms_by_reason.setdefault(cost, []).append(name)
    words = [
        f"{'all arms' if len(names) == num_arms else join_first(names, 4)}: {reason}"
        for reason, names in arms_by_reason.items()
    ]
    return f"Not measured: {'; '.join(words)}." if words else ""


def _format_effect(value: float | None, unit: MetricFormat) -> str:
    return UNKNOWN if value is None else unit.value(value)


def _describe(plan: JsonObject, unit: MetricFormat) -> list[str]:
    noise, best = plan["noise"], plan["recommended"]
    lines = [describe_choice(plan)] if best is not None else [f"Nothing is recommended: {plan['why']}."]
    lines.append(
        f"shows: the smallest effect{f', {unit.difference_unit},' if unit.difference_unit else ''} that four of five "
        "studies would show, for other images like these (by folds, for other training images too), and for the "
        "tested ones."
    )
    spread = f"Differences of runs of equal seed vary by {unit.size(noise['sd'])} ({noise['source']})"
    images = "" if noise["images"] is None else f"; on an image, methods differ by {unit.size(noise['images'] ** 0.5)}"
    images += " (assumed)" if images and noise["is_assumed"] else ""
    lines.append(f"{spread}{images}.")
    if plan.get("unmeasured"):
        lines.append(f"{plan['unmeasured']} They are taken to cost what the first other arm does.")
    if any(not option["is_own"] for option in plan["options"]):
        lines.append("Other designs answer other questions: study=NAME of the table takes one.")
    return lines


def describe_choice(plan: JsonObject) -> str:
    """The recommended option in a line, and why."""
    option, unit = plan["options"][plan["recommended"]], get_metric_format(plan["metric"])
    effect = option["shows_here"] if option["shows"] is None else option["shows"]
    shown = "" if effect is None else f", which show {unit.size(effect)}"
    return (
        f"Recommended: {option['design']}, {format_count(option['epochs'], 'epoch')}, "
        f"{format_count(option['seeds'], 'seed')}, {format_count(option['runs'], 'run')}, "
        f"{format_duration(option['seconds'])}{shown}: {plan['why']}."
    )
