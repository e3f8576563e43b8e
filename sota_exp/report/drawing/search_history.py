"""The history of a search: the value of every trial by its number, and the best so far."""

import itertools
from collections.abc import Sequence
from typing import Any

import altair as alt

from sota_exp.report.drawing.chart import BLUE, GREY, ORANGE, PAPER, build_data, compute_range, place_in_range
from sota_exp.report.drawing.curves import make_whole_axis


def draw_search_history(
    trials: Sequence[dict[str, Any]], sign: int, title: str, size: tuple[float, float]
) -> alt.LayerChart:
    """The value of every trial (number, value, is_complete, tip) and the best so far.

    sign: 1 if higher is better, −1 if lower is. Trials beyond the vertical range are triangles at its edge.
    """
    low, high = choose_history_range([each["value"] for each in trials], sign)
    last = max(each["number"] for each in trials)
    x = make_whole_axis("trial", size[0] / 70)
    y = alt.Axis(title=title, tickCount=6)
    placed = [
        each | dict(zip(("place", "shape"), place_in_range(each["value"], low, high), strict=True)) for each in trials
    ]
    base = alt.Chart(build_data(placed)).encode(
        alt.X("number:Q", scale=alt.Scale(domain=[-0.5, last + 0.5], nice=False), axis=x),
        alt.Y("place:Q", scale=alt.Scale(domain=[low, high], nice=False, zero=False), axis=y),
    )
    complete = sorted((each for each in trials if each["is_complete"]), key=lambda each: each["number"])
    best = itertools.accumulate((sign * each["value"] for each in complete), max)
    steps = [{"number": each["number"], "value": sign * value} for each, value in zip(complete, best, strict=True)]
    steps = [step for step in steps if low <= step["value"] <= high]
    steps += [steps[-1] | {"number": last + 0.5}] if steps else []
    line = alt.Chart(build_data(steps)).mark_line(color=ORANGE, strokeWidth=1.6, interpolate="step-after")
    ink = {"test": "datum.is_complete", "value": BLUE}
    discs = base.mark_point(size=46, strokeWidth=1.8, opacity=1, aria=True).encode(
        alt.FillValue(PAPER, condition=ink),
        alt.StrokeValue(GREY, condition=ink),
        alt.Shape("shape:N", scale=None),
        alt.Description("tip:N"),
    )
    return alt.layer(line.encode(alt.X("number:Q"), alt.Y("value:Q")), discs).properties(width=size[0], height=size[1])


def choose_history_range(values: Sequence[float], sign: int) -> tuple[float, float]:
    """The vertical range: that of the better three quarters, so that a few bad trials do not squeeze the rest."""
    kept = sorted(values, key=lambda value: -sign * value)[: max(2, len(values) * 3 // 4)]
    return compute_range(kept, margin=0.1, least=1e-6)
