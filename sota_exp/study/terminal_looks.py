"""Looks on the terminal: those done and how to go on, and the seeds that each kind of looks takes."""

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from sota_exp.report.terminal import escape
from sota_exp.statistics.units import MetricFormat
from sota_exp.study.results import JsonObject


def describe_looks(looks: JsonObject) -> str:
    """The looks so far."""
    if "planned" in looks:
        decided = ", ".join(looks["decided"]) or "none"
        return f"looks done: {looks['done'] or 'none'} of {looks['planned']} seeds; decided: {decided}"
    decided = ", ".join(f"{name} after {num} seeds" for name, num in looks["decided"].items()) or "none"
    return f"Verdicts and intervals hold whenever you stop and look. Decided: {decided}."


def format_costs_of_looks(plan: JsonObject, planned: list[int] | None, unit: MetricFormat) -> list[RenderableType]:
    """A table of the seeds that each kind of looks takes, under its heading; nothing for a design."""
    if not plan:
        return []
    words = {
        "fixed": "fixed: study.seeds alone",
        "planned": f"planned: study.looks=[{','.join(map(str, planned))}]" if planned else "planned: study.looks=[…]",
        "anytime": "any: study.looks=anytime",
    }
    table = Table("looks", "seeds at most", "with the effect", "without any", "shown in", box=None, pad_edge=False)
    for cost in plan["looks"]:
        means = [f"{cost[name]:.1f}" for name in ("with_effect", "without")]
        table.add_row(escape(words[cost["kind"]]), str(cost["most"]), *means, f"{100 * cost['power']:.0f} % of studies")
    heading = (
        f"Seeds per arm to show {unit.size(plan['effect'])}, the smallest effect of interest "
        "(study.smallest_effect), and their mean number where arms leave as soon as they are decided:"
    )
    return ["", Text(heading), table]
