"""Reliability diagrams: accuracy by confidence, one ring per bin whose area is its share of the images."""

from collections.abc import Sequence
from typing import Any

import altair as alt

from sota_exp.report.drawing.chart import MUTED, PAPER, build_data
from sota_exp.report.drawing.curves import arrange_panels, split_width


def draw_reliability_panels(bins: Sequence[dict[str, Any]], width: float) -> alt.FacetChart:
    """Accuracy by confidence (panel, confidence, correct, weight, ink, tip); on the diagonal they are equal.

    The area of a ring is its share of the images.
    """
    columns, side = split_width(width, 165)
    percent = {"values": [0, 0.5, 1], "labelExpr": "100 * datum.value", "grid": True}
    x = alt.X("confidence:Q", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(title="confidence, %", **percent))
    y = alt.Y("correct:Q", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(title="", **percent))
    base = alt.Chart().encode(x, y)
    size = alt.Size("weight:Q", scale=alt.Scale(domain=[0, 1], range=[10, 1600]), legend=None)
    rings = base.mark_point(strokeWidth=1.8, fill=PAPER, opacity=1, aria=True).encode(
        alt.Color("ink:N", scale=None), size, alt.Description("tip:N")
    )
    diagonal = alt.Chart(build_data([{}])).mark_rule(color=MUTED, strokeDash=[3, 3], strokeWidth=1.2)
    diagonal = diagonal.encode(alt.XDatum(0), alt.YDatum(0), alt.X2Datum(1), alt.Y2Datum(1))
    drawn = alt.layer(diagonal, rings, data=build_data(bins)).properties(width=side, height=side)
    return arrange_panels(drawn, [each["panel"] for each in bins], columns, side)
