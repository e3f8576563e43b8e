"""Curves with bands over seeds: an arm against its reference."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sota_exp.report.drawing.axis import Axis, compute_range, grid, whole_ticks
from sota_exp.report.drawing.drawing import Circle, Drawing, Mark, Polygon, Polyline, TextMark
from sota_exp.report.study.runs import SeedCurve
from sota_exp.statistics.units import MetricFormat


@dataclass(frozen=True, kw_only=True)
class CurveLine:
    """A curve with its ink and dash; `marks`: (x, radius in pixels) of discs on it."""

    curve: SeedCurve
    ink: str
    dash: str = ""
    marks: tuple[tuple[float, float], ...] = ()


def draw_curves(
    lines: Sequence[CurveLine], scale: MetricFormat, x_title: str, size: tuple[float, float], alt: str, y: Axis
) -> Drawing:
    """Lines over bands of one standard deviation; `y` gives the vertical range, so that panels can share it."""
    width, height = size
    left, right, top, bottom = 34.0, width - 6, 6.0, height - 34
    begin, end = min(each.curve.x[0] for each in lines), max(each.curve.x[-1] for each in lines)
    across = Axis(low=begin, high=max(end, begin + 1e-6), begin=left, end=right)
    upright = Axis(low=y.low, high=y.high, begin=bottom, end=top)
    marks = grid(across, upright, scale.factor, 5, whole_ticks(across, int(width / 60)), 10)
    marks.append(TextMark(x=(left + right) / 2, y=height - 4, text=x_title, ink="muted", anchor="middle", size=10.5))
    shown = [replace(each, curve=crop_start(each.curve, y.low)) for each in lines]
    marks += [draw_band(each, across, upright) for each in shown if each.curve.sd.any()]
    for each in shown:
        marks += draw_curve(each, across, upright, scale)
    return Drawing(width=width, height=height, marks=tuple(marks), alt=alt)


def crop_start(curve: SeedCurve, low: float) -> SeedCurve:
    """The curve without its start below `low`, except for the last point of that."""
    above = np.flatnonzero(curve.mean >= low)
    begin = max(int(above[0]) - 1, 0) if len(above) else 0
    return replace(curve, x=curve.x[begin:], mean=curve.mean[begin:], sd=curve.sd[begin:])


def compute_shared_axis(curves: Sequence[SeedCurve]) -> Axis:
    """A vertical range for all curves and bands, without their first third, where curves do not differ visibly."""
    late = [slice(len(each.x) // 3, None) for each in curves]
    lows = [value for each, part in zip(curves, late, strict=True) for value in (each.mean - each.sd)[part].tolist()]
    highs = [value for each, part in zip(curves, late, strict=True) for value in (each.mean + each.sd)[part].tolist()]
    low, high = compute_range([*lows, *highs], least=1e-3)
    return Axis(low=low, high=high, begin=0, end=1)


def draw_band(each: CurveLine, across: Axis, upright: Axis) -> Polygon:
    above = [(across.at(x), upright.at(y)) for x, y in zip(each.curve.x, each.curve.mean + each.curve.sd, strict=True)]
    below = [(across.at(x), upright.at(y)) for x, y in zip(each.curve.x, each.curve.mean - each.curve.sd, strict=True)]
    return Polygon(points=(*above, *reversed(below)), ink=each.ink, opacity=0.18)


def draw_curve(each: CurveLine, across: Axis, upright: Axis, scale: MetricFormat) -> list[Mark]:
    points = tuple((across.at(x), upright.at(y)) for x, y in zip(each.curve.x, each.curve.mean, strict=True))
    values = dict(zip(each.curve.x.tolist(), each.curve.mean.tolist(), strict=True))
    marks: list[Mark] = [Polyline(points=points, ink=each.ink, width=1.8, dash=each.dash)] if len(points) > 1 else []
    discs = each.marks or (((float(each.curve.x[0]), 3.0),) if len(points) == 1 else ())
    for place, radius in discs:
        tip = f"{place:.0f}: {scale.format_with_unit(values[place])}"
        marks.append(Circle(x=across.at(place), y=upright.at(values[place]), radius=radius, ink=each.ink, tip=tip))
    return marks
