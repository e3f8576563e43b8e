"""Curves with bands over seeds, in one plot or in panels that share their vertical range."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np

from sota_exp.config.values import shorten_middle
from sota_exp.report.drawing.chart import TRIANGLES_NOTE, build_data, compute_range, place_in_range
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
        """The points of the line, which leaves the plot where it leaves the range `ends`, and its discs.

        A disc beyond the range is a triangle at its edge.
        """
        points = np.stack([self.curve.x, self.curve.mean, self.curve.sd], 1).tolist()
        marks = self.marks or ({points[0][0]: 3.0} if len(points) == 1 else {})
        shared = {"panel": self.panel, "ink": self.ink, "dash": list(self.dash)}
        line = [
            {"line": f"{order}.{piece}", "area": 0.0, "x": x, "mean": mean * scale.factor}
            | {name: end * scale.factor for name, end in zip(("low", "high"), scale.spread(mean, sd), strict=True)}
            for piece, inside in enumerate(cut_to_range(points, *ends))
            for x, mean, sd in inside
        ]
        discs = [
            {"line": f"{order}", "area": 4 * marks[x] ** 2, "x": x, "mean": place * scale.factor, "shape": shape}
            | {"tip": f"{self.panel} {x:.0f}: {scale.format_with_unit(mean)}".strip()}
            for x, mean, _ in points
            if x in marks
            for place, shape in [place_in_range(mean, *ends)]
        ]
        return [shared | each for each in (*line, *discs)]


def cut_to_range(points: Sequence[list[float]], low: float, high: float) -> list[list[list[float]]]:
    """The pieces of a line between `low` and `high`, with its crossings of them. points: (x, mean, further …)."""
    pieces: list[list[list[float]]] = [[]]
    for index, here in enumerate(points):
        if low <= here[1] <= high:
            pieces[-1].append(here)
        else:
            pieces.append([])
        if index + 1 == len(points):
            break
        after = points[index + 1]
        crossed = sorted(
            (edge - here[1]) / (after[1] - here[1]) for edge in (low, high) if (here[1] - edge) * (after[1] - edge) < 0
        )
        pieces[-1] += [
            [(1 - share) * one + share * other for one, other in zip(here, after, strict=True)] for share in crossed
        ]
    return [piece for piece in pieces if len(piece) > 1 or len(points) == 1]


def draw_curves(
    lines: Sequence[CurveLine],
    scale: MetricFormat,
    titles: tuple[str, str],
    size: tuple[float, float],
    has_legend: bool = False,
) -> alt.LayerChart:
    """Lines over bands of one standard deviation. titles: of the axes, horizontal first. has_legend: of the panels."""
    low, high = compute_shared_range([each.curve for each in lines], scale)
    values = [point for order, each in enumerate(lines) for point in each.describe(order, (low, high), scale)]
    y_scale = alt.Scale(domain=[scale.factor * low, scale.factor * high], nice=False, zero=False, clamp=True)
    y_axis = alt.Axis(title=titles[1], tickCount=5)
    x_axis = make_whole_axis(titles[0], size[0] / 60)
    base = alt.Chart(build_data(values)).encode(
        alt.X("x:Q", scale=alt.Scale(zero=False, nice=False), axis=x_axis),
        alt.Y("mean:Q", scale=y_scale, axis=y_axis),
        alt.Detail("line:O"),
        make_ink(lines, size[0]) if has_legend else alt.Color("ink:N", scale=None),
    )
    lines_only = base.transform_filter("datum.area == 0")
    band = lines_only.mark_area(opacity=0.18).encode(alt.Y("low:Q", scale=y_scale, axis=y_axis), alt.Y2("high"))
    line = lines_only.mark_line(strokeWidth=1.8).encode(alt.StrokeDash("dash:N", scale=None))
    discs = base.mark_point(filled=True, opacity=1, aria=True).transform_filter("datum.area > 0")
    discs = discs.encode(alt.Size("area:Q", scale=None), alt.Shape("shape:N", scale=None), alt.Description("tip:N"))
    return alt.layer(band, line, discs).properties(width=size[0], height=size[1])


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


def find_note(lines: Sequence[CurveLine], scale: MetricFormat) -> str:
    """The note of a figure with these lines."""
    ends = compute_shared_range([each.curve for each in lines], scale)
    shapes = {point.get("shape", "circle") for each in lines for point in each.describe(0, ends, scale)}
    return TRIANGLES_NOTE if shapes - {"circle"} else ""


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
