"""The evidence of every arm against the number of seeds, and the line at which an arm is decided."""

import math
from collections.abc import Sequence
from typing import Any

import altair as alt

from sota_exp.report.drawing.chart import MUTED, PAPER, build_data, compute_range
from sota_exp.report.drawing.cost_scatter import INK, place_numbers
from sota_exp.report.drawing.curves import make_whole_axis

#: Evidence below this is drawn here.
LEAST_EVIDENCE = 0.01


def draw_evidence(lines: Sequence[dict[str, Any]], threshold: float, width: float) -> alt.LayerChart:
    """A line per arm (number, label, ink, evidence: after each seed) on a logarithmic scale; its number at the end."""
    points = [
        {"number": line["number"], "ink": line["ink"], "time": seed, "score": math.log10(max(value, LEAST_EVIDENCE))}
        | {"tip": f"{line['label']}, {seed} seeds: evidence {value:.3g}"}
        for line in lines
        for seed, value in enumerate((1.0, *line["evidence"]))
    ]
    last = max(point["time"] for point in points)
    size, across = (width - 70, 240 + width / 12), (0.0, 1.06 * last + 0.3)
    upright = compute_range([*(point["score"] for point in points), math.log10(threshold)])
    x_scale = alt.Scale(domain=list(across), nice=False)
    y_scale = alt.Scale(domain=list(upright), nice=False, zero=False)
    y_axis = alt.Axis(
        title="evidence",
        values=list(range(math.ceil(upright[0]), math.floor(upright[1]) + 1)),
        labelExpr="format(pow(10, datum.value), ',')",
    )

    def at(x: str, y: str) -> list[alt.X | alt.Y]:
        x_axis = make_whole_axis("seeds", size[0] / 60)
        return [alt.X(f"{x}:Q", scale=x_scale, axis=x_axis), alt.Y(f"{y}:Q", scale=y_scale, axis=y_axis)]

    base = alt.Chart(build_data(points))
    ends = [point for point, after in zip(points, [*points[1:], {"time": 0}], strict=True) if after["time"] == 0]
    marks = alt.Chart(build_data(place_numbers(ends, across, upright, size, is_log=False)))
    number = marks.mark_text(fontSize=11, fontWeight=600, align="left", stroke=PAPER, strokeWidth=3)
    line_of_verdict = alt.Chart(build_data([{"time": 0, "score": math.log10(threshold)}]))
    word = line_of_verdict.mark_text(align="left", dy=-8, dx=4, fill=MUTED).encode(
        alt.TextValue(f"{threshold:g}: decided")
    )
    return alt.layer(
        line_of_verdict.mark_rule(color=MUTED, strokeDash=[5, 3], strokeWidth=1.4).encode(at("time", "score")[1]),
        word.encode(*at("time", "score")),
        base.mark_line(strokeWidth=1.8).encode(*at("time", "score"), alt.Detail("number:N"), INK),
        marks.mark_circle(size=60, opacity=1, aria=True).encode(*at("time", "score"), INK, alt.Description("tip:N")),
        number.encode(*at("number_x", "number_y"), alt.Text("number:N")),
    ).properties(width=size[0], height=size[1])
