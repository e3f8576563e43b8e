"""Curves with bands over seeds, in one plot or in panels that share their vertical range."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np

from sota_exp.report.drawing.chart import compute_range
from sota_exp.report.study.runs import SeedCurve
from sota_exp.statistics.units import MetricFormat


@dataclass(frozen=True, kw_only=True)
class CurveLine:
    """A curve in the panel with this title; `marks`: by x, the radius in pixels of a disc on the curve."""

    curve: SeedCurve
    ink: str
    dash: Sequence[int] = ()
    marks: dict[float, float] | None = None
    panel: str = ""

    def describe(self, order: int, low: float, scale: MetricFormat) -> list[dict[str, Any]]:
        """The points; of those at the start that lie below `low`, only the last."""
        above = np.flatnonzero(self.curve.mean >= low)
        begin = max(int(above[0]) - 1, 0) if len(above) else 0
        marks = self.marks or ({float(self.curve.x[0]): 3.0} if len(self.curve.x) == 1 else {})
        shared = {"line": order, "panel": self.panel, "ink": self.ink, "dash": list(self.dash)}
        return [
            shared
            | {
                "x": x,
                "mean": mean * scale.factor,
                "low": scale.spread(mean, sd)[0] * scale.factor,
                "high": scale.spread(mean, sd)[1] * scale.factor,
            }
            | {
                "area": 4 * marks.get(x, 0.0) ** 2,
                "tip": f"{self.panel} {x:.0f}: {scale.format_with_unit(mean)}".strip(),
            }
            for x, mean, sd in np.stack([self.curve.x, self.curve.mean, self.curve.sd], 1)[begin:].tolist()
        ]


def draw_curves(
    lines: Sequence[CurveLine], scale: MetricFormat, titles: tuple[str, str], size: tuple[float, float]
) -> alt.LayerChart:
    """Lines over bands of one standard deviation. titles: of the axes, horizontal first."""
    low, high = compute_shared_range([each.curve for each in lines], scale)
    values = [point for order, each in enumerate(lines) for point in each.describe(order, low, scale)]
    y_scale = alt.Scale(domain=[scale.factor * low, scale.factor * high], nice=False, zero=False, clamp=True)
    y_axis = alt.Axis(title=titles[1], tickCount=5)
    x_axis = make_whole_axis(titles[0], size[0] / 60)
    base = alt.Chart(alt.Data(values=values)).encode(
        alt.X("x:Q", scale=alt.Scale(zero=False, nice=False), axis=x_axis),
        alt.Y("mean:Q", scale=y_scale, axis=y_axis),
        alt.Detail("line:O"),
        alt.Color("ink:N", scale=None),
    )
    band = base.mark_area(opacity=0.18).encode(alt.Y("low:Q", scale=y_scale, axis=y_axis), alt.Y2("high"))
    line = base.mark_line(strokeWidth=1.8).encode(alt.StrokeDash("dash:N", scale=None))
    discs = base.mark_circle(opacity=1, aria=True).transform_filter("datum.area > 0")
    discs = discs.encode(size=alt.Size("area:Q", scale=None), description="tip:N")
    return alt.layer(band, line, discs).properties(width=size[0], height=size[1])


def make_whole_axis(title: str, most: float) -> alt.Axis:
    """An axis with at most about `most` ticks at whole numbers: Vega's own least step allows halves."""
    opacity = {"condition": {"test": "datum.value % 1 == 0", "value": 1}, "value": 0}
    label = "datum.value % 1 ? '' : format(datum.value, 'd')"
    return alt.Axis(title=title, tickMinStep=1, tickCount=max(2, int(most)), labelExpr=label, gridOpacity=opacity)


def draw_curve_panels(
    lines: Sequence[CurveLine], scale: MetricFormat, x_title: str, least: float, width: float
) -> alt.FacetChart:
    """A panel per title, about `least` pixels wide, side by side in as many rows as needed."""
    columns, side = split_width(width, least)
    drawn = draw_curves(lines, scale, (x_title, ""), (side, 0.7 * side))
    return arrange_panels(drawn, [each.panel for each in lines], columns, side)


def split_width(width: float, least: float) -> tuple[int, float]:
    """The number of columns of panels, and the width of a panel without the numbers beside it."""
    columns = max(round(width / (least + 48)), 1)
    return columns, width / columns - 48


def arrange_panels(drawn: alt.LayerChart, panels: list[str], columns: int, side: float) -> alt.FacetChart:
    """The chart once per value of the field `panel`, each with its own axes."""
    header = alt.Header(labelLimit=side + 8)
    facet = alt.Facet("panel:N", sort=list(dict.fromkeys(panels)), header=header, title=None)
    found = drawn.facet(facet, columns=columns, spacing={"row": 14, "column": 18})
    return found.resolve_axis(x="independent", y="independent")


def compute_shared_range(curves: Sequence[SeedCurve], scale: MetricFormat) -> tuple[float, float]:
    """A range for all curves and bands, without their first third, where curves do not differ visibly."""
    late = [slice(len(each.x) // 3, None) for each in curves]
    ends = [
        end
        for each, part in zip(curves, late, strict=True)
        for mean, sd in zip(each.mean[part].tolist(), each.sd[part].tolist(), strict=True)
        for end in scale.spread(mean, sd)
    ]
    return compute_range(ends, least=1e-3)
