"""Reliability diagrams: accuracy by confidence, one ring per bin whose area is its share of the images."""

from collections.abc import Sequence
from typing import Any

import altair as alt

from sota_exp.report.drawing.chart import MUTED, PAPER, build_data
from sota_exp.report.drawing.curves import arrange_panels, split_width
from sota_exp.report.numbers import format_percent


def draw_reliability_panels(bins: Sequence[dict[str, Any]], width: float, least: float = 165) -> alt.FacetChart:
    """Accuracy by confidence, in panels about `least` pixels wide; on the diagonal they are equal.

    bins: as from `bin_by_confidence`, with panel and ink, and the interval of the accuracy (low, high) where known.
    The area of a ring is its share of the images.
    """
    columns, side = split_width(width, least)
    percent = {"values": [0, 0.5, 1], "labelExpr": "100 * datum.value", "grid": True}
    unit, below = alt.Scale(domain=[-0.05, 1.06], nice=False), alt.Axis(title="confidence, %", **percent)
    rows = [each | {"tip": describe_bin(each)} for each in bins]
    y = {"scale": unit, "axis": alt.Axis(title="", **percent)}
    base = alt.Chart().encode(alt.X("confidence:Q", scale=unit, axis=below), alt.Color("ink:N", scale=None))
    rings = base.mark_point(strokeWidth=1.8, fill=PAPER, opacity=1, aria=True).encode(
        alt.Y("correct:Q", **y),
        alt.Size("weight:Q", scale=alt.Scale(domain=[0, 1], range=[10, 1600]), legend=None),
        alt.Description("tip:N"),
    )
    intervals = base.mark_rule(strokeWidth=1.4).encode(alt.Y("low:Q", **y), alt.Y2("high"))
    diagonal = alt.Chart(build_data([{}])).mark_rule(color=MUTED, strokeDash=[3, 3], strokeWidth=1.2)
    diagonal = diagonal.encode(alt.XDatum(0), alt.YDatum(0), alt.X2Datum(1), alt.Y2Datum(1))
    drawn = alt.layer(diagonal, intervals, rings, data=build_data(rows)).properties(width=side, height=side)
    return arrange_panels(drawn, [each["panel"] for each in bins], columns, side)


def describe_bin(found: dict[str, Any]) -> str:
    sure, right, weight = (format_percent(found[name]) for name in ("confidence", "correct", "weight"))
    return f"confidence {sure}: {right} right, {weight} of images"
