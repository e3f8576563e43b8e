"""Curves with bands over seeds, in one plot or in panels that share their vertical range."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np

from sota_exp.config.values import shorten_middle
from sota_exp.report.drawing.chart import NUMBER_LABELS, build_data, compute_range, place_in_range
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

    def describe(self, order: int, ends: tuple[float, float], scale: MetricFormat) -> list[dict[str, Any]]:
        """The points of the line, with discs at some; a disc beyond the range `ends` is a triangle at its edge."""
        points = np.stack([self.curve.x, self.curve.mean, self.curve.sd], 1).tolist()
        marks = self.marks or ({points[0][0]: 3.0} if len(points) == 1 else {})
        shared = {"line": order, "panel": self.panel, "ink": self.ink, "dash": list(self.dash)}
        rows = []
        for x, mean, sd in points:
            place, shape = place_in_range(mean, *ends)
            values = dict(zip(("mean", "place", "low", "high"), (mean, place, *scale.spread(mean, sd)), strict=True))
            tip = f"{self.panel} {x:.0f}: {scale.format_with_unit(mean)}".strip()
            row = shared | {
                "x": x,
                "area": 4 * marks.get(x, 0) ** 2,
                "shape": shape if x in marks else "circle",
                "tip": tip,
            }
            rows.append(row | {name: scale.factor * value for name, value in values.items()})
        return rows


def draw_curves(
    lines: Sequence[CurveLine],
    scale: MetricFormat,
    size: tuple[float, float],
    has_legend: bool = False,
    skipped: float = 1 / 3,
) -> alt.LayerChart:
    """Lines by epoch, bands of one standard deviation. has_legend: of panels. skipped: as in `compute_shared_range`."""
    low, high = compute_shared_range([each.curve for each in lines], scale, skipped)
    values = [point for order, each in enumerate(lines) for point in each.describe(order, (low, high), scale)]
    y = {
        "scale": alt.Scale(domain=[scale.factor * low, scale.factor * high], nice=False, zero=False),
        "axis": alt.Axis(title="", tickCount=5, labelExpr=NUMBER_LABELS),
    }
    base = alt.Chart(build_data(values)).encode(
        alt.X("x:Q", scale=alt.Scale(zero=False, nice=False), axis=make_whole_axis("epoch", size[0] / 60)),
        alt.Detail("line:O"),
        make_ink(lines, size[0]) if has_legend else alt.Color("ink:N", scale=None),
    )
    band = base.mark_area(opacity=0.18, clip=True).encode(alt.Y("low:Q", **y), alt.Y2("high"))
    line = base.mark_line(strokeWidth=1.8, clip=True).encode(alt.Y("mean:Q", **y), alt.StrokeDash("dash:N", scale=None))
    discs = base.mark_point(filled=True, opacity=1, aria=True).transform_filter("datum.area > 0")
    looks = alt.Size("area:Q", scale=None), alt.Shape("shape:N", scale=None), alt.Description("tip:N")
    drawn = alt.layer(band, line, discs.encode(alt.Y("place:Q", **y), *looks))
    return drawn.properties(width=size[0], height=size[1])


def make_ink(lines: Sequence[CurveLine], width: float) -> alt.Color:
    """The ink of each line, with a legend above the plot. width: of the plot, in pixels."""
    inks, most = [line.ink for line in lines], int(width / 7)
    names = json.dumps({line.ink: shorten_middle(line.panel, most) for line in lines})
    columns = max(int(width / (8 * max(min(len(line.panel), most) for line in lines) + 30)), 1)
    legend = alt.Legend(
        orient="top",
        labelExpr=f"{names}[datum.label]",
        labelLimit=0,
        symbolType="stroke",
        symbolOpacity=1,
        columns=columns,
    )
    return alt.Color("ink:N", scale=alt.Scale(domain=inks, range=inks), legend=legend)


def make_whole_axis(title: str, most: float) -> alt.Axis:
    """An axis with at most about `most` ticks at whole numbers: Vega's own least step allows halves."""
    opacity = {"condition": {"test": "datum.value % 1 == 0", "value": 1}, "value": 0}
    label = "datum.value % 1 ? '' : format(datum.value, 'd')"
    return alt.Axis(title=title, tickMinStep=1, tickCount=max(2, int(most)), labelExpr=label, gridOpacity=opacity)


def draw_curve_panels(lines: Sequence[CurveLine], scale: MetricFormat, width: float) -> alt.FacetChart:
    """A panel per title, side by side in as many rows as needed."""
    columns, side = split_width(width, 165)
    panels = list(dict.fromkeys(each.panel for each in lines))
    facet = alt.Facet("panel:N", sort=panels, header=alt.Header(labelLimit=side + 8), title=None)
    drawn = draw_curves(lines, scale, (side, 0.7 * side))
    found = drawn.facet(facet, columns=columns, spacing={"row": 14, "column": 18})
    return found.resolve_axis(x="independent", y="independent")


def split_width(width: float, least: float) -> tuple[int, float]:
    """The number of columns of panels, and the width of a panel without the numbers beside it."""
    columns = max(round(width / (least + 48)), 1)
    return columns, width / columns - 48


def compute_shared_range(
    curves: Sequence[SeedCurve], scale: MetricFormat, skipped: float = 1 / 3
) -> tuple[float, float]:
    """A range for curves and bands; of ten points and more without the share `skipped`, where all rise steeply."""
    late = [slice(int(len(each.x) * skipped) if len(each.x) >= 10 else 0, None) for each in curves]
    ends = [
        end
        for each, part in zip(curves, late, strict=True)
        for mean, sd in zip(each.mean[part].tolist(), each.sd[part].tolist(), strict=True)
        for end in scale.spread(mean, sd)
    ]
    return compute_range(ends, least=1e-3)
