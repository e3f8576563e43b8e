"""The history of a search: the value of every trial by its number, and the best so far."""

from collections.abc import Sequence
from dataclasses import dataclass

from sota_exp.report.drawing.axis import Axis, compute_range, grid, whole_ticks
from sota_exp.report.drawing.drawing import Circle, Drawing, Mark, Polyline, TextMark
from sota_exp.statistics.units import MetricFormat


@dataclass(frozen=True, kw_only=True)
class HistoryPoint:
    """A trial's number and value; hollow if it is not complete."""

    number: int
    value: float
    is_hollow: bool


def draw_search_history(
    trials: Sequence[HistoryPoint], sign: int, scale: MetricFormat, title: str, size: tuple[float, float], alt: str
) -> Drawing:
    """`sign`: 1 if higher is better, −1 if lower is. Values outside the axis are clipped to its end."""
    width, height = size
    left, right, top, bottom = 48.0, width - 10, 26.0, height - 42
    across = Axis(low=-0.5, high=max(each.number for each in trials) + 0.5, begin=left, end=right)
    upright = choose_value_axis([each.value for each in trials], sign, bottom, top)
    marks: list[Mark] = [TextMark(x=0, y=12, text=title, ink="muted", size=11)]
    marks += grid(across, upright, scale.factor, 6, whole_ticks(across, int(width / 70)))
    marks.append(TextMark(x=(left + right) / 2, y=height - 4, text="trial", ink="muted", anchor="middle", size=11))
    marks.append(draw_best_so_far(trials, sign, across, upright))
    for each in trials:
        tip = f"trial {each.number}: {scale.format_with_unit(each.value)}"
        place = {"x": across.at(each.number), "y": upright.at(each.value)}
        marks.append(
            Circle(**place, radius=3.8, ink="grey" if each.is_hollow else "blue", is_hollow=each.is_hollow, tip=tip)
        )
    return Drawing(width=width, height=height, marks=tuple(marks), alt=alt)


def choose_value_axis(values: Sequence[float], sign: int, begin: float, end: float) -> Axis:
    """The range of the better three quarters of the values."""
    kept = sorted(values, key=lambda value: -sign * value)[: max(2, len(values) * 3 // 4)]
    low, high = compute_range(kept, margin=0.1, least=1e-6)
    return Axis(low=low, high=high, begin=begin, end=end)


def draw_best_so_far(trials: Sequence[HistoryPoint], sign: int, across: Axis, upright: Axis) -> Polyline:
    """A step line over the complete trials."""
    corners: list[tuple[float, float]] = []
    best = -float("inf")
    for each in sorted(trials, key=lambda each: each.number):
        if not each.is_hollow and sign * each.value > best:
            best = sign * each.value
            x, y = across.at(each.number), upright.at(each.value)
            corners += [(x, corners[-1][1]), (x, y)] if corners else [(x, y)]
    ends = [(across.end, corners[-1][1])] if corners else [(across.begin, upright.begin), (across.begin, upright.begin)]
    return Polyline(points=(*corners, *ends), ink="orange", width=1.6)
