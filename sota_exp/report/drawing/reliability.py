"""Reliability diagrams: accuracy by confidence, one ring per bin whose area is its share of the images."""

from collections.abc import Sequence
from typing import Any

import altair as alt

from sota_exp.report.drawing.chart import MUTED, PAPER
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
        alt.Color("ink:N", scale=None), size, description="tip:N"
    )
    diagonal = alt.Chart(alt.Data(values=[{}])).mark_rule(color=MUTED, strokeDash=[3, 3], strokeWidth=1.2)
    diagonal = diagonal.encode(x=alt.datum(0), y=alt.datum(0), x2=alt.datum(1), y2=alt.datum(1))
    drawn = alt.layer(diagonal, rings, data=alt.Data(values=list(bins))).properties(width=side, height=side)
    return arrange_panels(drawn, [each["panel"] for each in bins], columns, side)
