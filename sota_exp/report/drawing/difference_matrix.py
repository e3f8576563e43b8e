"""A matrix of differences: cells shaded by sign and size, framed if their interval excludes zero."""

from collections.abc import Sequence
from typing import Any

import altair as alt

from sota_exp.report.drawing.chart import BLUE, FAINT, RED, build_data


def draw_difference_matrix(
    cells: Sequence[dict[str, Any]], rows: Sequence[str], columns: Sequence[str], width: float
) -> alt.LayerChart:
    """Cells (row, column, text, gain, is_clear, tip); gain > 0 is good, 0 has no shade, and None is not measured."""
    side = min((width - 150) / max(len(columns), 1), 74.0)
    largest = max((abs(cell["gain"]) for cell in cells if cell["gain"] is not None), default=0.0) or 1.0
    axis = {"title": "", "labelLimit": 130, "grid": False}
    below = alt.Axis(labelAngle=-40 if side >= 18 else -90, labelFontSize=min(11, side), **axis)
    base = alt.Chart(build_data(cells)).encode(
        alt.X("column:N", sort=list(columns), axis=below),
        alt.Y("row:N", sort=list(rows), axis=alt.Axis(**axis)),
    )
    ink = {"test": "datum.gain > 0", "value": BLUE}
    shade = alt.Opacity("size:Q", scale=alt.Scale(domain=[0, 1], range=[0.08, 0.58]), legend=None)
    shaded = base.transform_filter("datum.gain != null && datum.gain != 0").transform_calculate(
        size=f"abs(datum.gain) / {largest}"
    )
    text = base.mark_text(fontSize=11.5 if side >= 48 else 9, opacity=1 if side >= 28 else 0)
    return alt.layer(
        base.mark_rect(color=FAINT, opacity=0.35).transform_filter("datum.gain == null"),
        shaded.mark_rect(aria=True).encode(shade, alt.Description("tip:N"), alt.ColorValue(RED, condition=ink)),
        shaded.mark_rect(filled=False, strokeWidth=1.8)
        .encode(alt.StrokeValue(RED, condition=ink))
        .transform_filter("datum.is_clear"),
        text.encode(alt.Text("text:N")),
    ).properties(width=alt.Step(side), height=alt.Step(max(min(side, 40.0), 16.0)))
