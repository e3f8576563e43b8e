"""The trials of a search: their value by number with the best so far, and by each parameter."""

from collections.abc import Sequence
from statistics import median
from typing import Any

import altair as alt

from sota_exp.config.values import shorten_middle
from sota_exp.report.drawing.chart import (
    BLUE,
    GREY,
    NUMBER_LABELS,
    ORANGE,
    PAPER,
    build_data,
    compute_range,
    place_in_range,
)
from sota_exp.report.drawing.curves import make_whole_axis, split_width

#: The largest of positive values divided by the smallest from which on their axis may be logarithmic.
LEAST_LOG_RATIO = 20

Trials = Sequence[dict[str, Any]]


def draw_search_history(trials: Trials, sign: int, title: str, size: tuple[float, float]) -> alt.LayerChart:
    """The value of every trial (number, value, is_complete, tip) and the best so far.

    sign: 1 if higher is better, −1 if lower is. Trials beyond the vertical range are triangles at its edge.
    """
    ends = choose_history_range([each["value"] for each in trials], sign)
    last = max(each["number"] for each in trials)
    numbers = alt.Scale(domain=[-0.5, last + 0.5], nice=False)
    x = alt.X("number:Q", scale=numbers, axis=make_whole_axis("trial", size[0] / 70))
    best = "max(value)" if sign > 0 else "min(value)"
    line = alt.Chart(build_data(each for each in trials if each["is_complete"]))
    line = line.mark_line(color=ORANGE, strokeWidth=1.6, interpolate="step-after", clip=True)
    line = line.transform_window(best=best, sort=[alt.SortField("number")])
    discs = draw_discs(trials, x, ends, title)
    return alt.layer(line.encode(alt.X("number:Q"), alt.Y("best:Q")), discs).properties(width=size[0], height=size[1])


def draw_parameters(trials: Trials, names: Sequence[str], sign: int, title: str, width: float) -> alt.ConcatChart:
    """The value of every trial by each of its parameters (knobs), in panels with one vertical range."""
    columns, side = split_width(width, 235)
    ends = choose_history_range([each["value"] for each in trials], sign)
    charts = []
    for name in names:
        rows = [each | {"x": each["knobs"][name]} for each in trials if name in each["knobs"]]
        x = make_parameter_axis(name, [row["x"] for row in rows], side)
        charts.append(draw_discs(rows, x, ends, title).properties(width=side, height=0.6 * side))
    return alt.concat(*charts, columns=columns, spacing=24)


def make_parameter_axis(name: str, values: Sequence[Any], side: float) -> alt.X:
    """Numbers on a scale, which is logarithmic where they differ much; other values side by side."""
    axis = alt.Axis(title=shorten_middle(name, int(side / 7)), labelLimit=0.5 * side, tickCount=4)
    if not all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
        axis.labelAngle = 0 if 7 * sum(len(str(value)) + 2 for value in set(values)) < side else -40
        return alt.X("x:N", axis=axis)
    axis.labelExpr = NUMBER_LABELS
    low, high = min(values), max(values)
    is_log = 0 < LEAST_LOG_RATIO * low < high and 4 * median(values) < low + high
    if is_log:
        axis["values"] = [10.0**power for power in range(-12, 12)]
    scale = alt.Scale(type="log" if is_log else "linear", zero=False, nice=False, padding=10)
    return alt.X("x:Q", scale=scale, axis=axis)


def draw_discs(trials: Trials, x: alt.X, ends: tuple[float, float], title: str) -> alt.Chart:
    """A disc per trial, a ring for one that did not finish."""
    placed = [
        each | dict(zip(("place", "shape"), place_in_range(each["value"], *ends), strict=True)) for each in trials
    ]
    scale = alt.Scale(domain=list(ends), nice=False, zero=False)
    ink = {"test": "datum.is_complete", "value": BLUE}
    return (
        alt.Chart(build_data(placed))
        .mark_point(size=46, strokeWidth=1.8, opacity=1, aria=True)
        .encode(
            x,
            alt.Y("place:Q", scale=scale, axis=alt.Axis(title=title, tickCount=6)),
            alt.FillValue(PAPER, condition=ink),
            alt.StrokeValue(GREY, condition=ink),
            alt.Shape("shape:N", scale=None),
            alt.Description("tip:N"),
        )
    )


def choose_history_range(values: Sequence[float], sign: int) -> tuple[float, float]:
    """The vertical range: that of the better three quarters, so that a few bad trials do not squeeze the rest."""
    kept = sorted(values, key=lambda value: -sign * value)[: max(2, len(values) * 3 // 4)]
    return compute_range(kept, margin=0.1, least=1e-6)
