"""Scatter plot of score against training time: one numbered point per arm, error bars, Pareto front behind."""

from collections.abc import Sequence
from dataclasses import dataclass

from sota_exp.report.drawing.axis import Axis, compute_range, grid
from sota_exp.report.drawing.drawing import Circle, Drawing, Mark, Polyline, TextMark, make_line
from sota_exp.statistics.units import MetricFormat


@dataclass(frozen=True, kw_only=True)
class CostPoint:
    """An arm: its number and label on the page, training time, mean score and its standard deviation over seeds."""

    number: str
    label: str
    time: float
    score: float
    sd: float | None
    ink: str


def draw_cost_scatter(
    points: Sequence[CostPoint], scale: MetricFormat, titles: tuple[str, str], size: tuple[float, float], alt: str
) -> Drawing:
    """`titles`: horizontal axis, vertical axis. The time axis is logarithmic if times differ by more than 4×."""
    width, height = size
    left, right, top, bottom = 44.0, width - 16, 26.0, height - 42
    across = choose_time_axis([point.time for point in points], left, right)
    ends = [point.score + sign * (point.sd or 0) for point in points for sign in (-1, 1)]
    low, high = compute_range(ends, least=1e-3)
    upright = Axis(low=low, high=high, begin=bottom, end=top)
    times = {place: f"{place:g}" for place in across.compute_ticks(max(2, int(width / 90))) if place >= 0}
    marks = grid(across, upright, scale.factor, 6, times)
    marks.append(TextMark(x=0, y=12, text=titles[1], ink="muted", size=11))
    marks.append(TextMark(x=(left + right) / 2, y=height - 4, text=titles[0], ink="muted", anchor="middle", size=11))
    marks.append(Polyline(points=tuple(compute_pareto_front(points, across, upright)), ink="faint", width=2))
    for point in points:
        marks += draw_error_bar(point, across, upright)
    marks += [draw_point(point, across, upright, scale) for point in points]
    marks += draw_numbers(points, across, upright)
    return Drawing(width=width, height=height, marks=tuple(marks), alt=alt)


def choose_time_axis(times: Sequence[float], begin: float, end: float) -> Axis:
    if max(times) > 4 * min(times) > 0:
        return Axis(low=min(times) / 1.25, high=max(times) * 1.25, begin=begin, end=end, is_log=True)
    low, high = compute_range(times, margin=0.1, least=0.1 * max(times))
    return Axis(low=low, high=high, begin=begin, end=end)


def compute_pareto_front(points: Sequence[CostPoint], across: Axis, upright: Axis) -> list[tuple[float, float]]:
    """Steps (pixels) through the points that no point of shorter time exceeds."""
    corners: list[tuple[float, float]] = []
    best = -float("inf")
    for point in sorted(points, key=lambda each: (each.time, -each.score)):
        if point.score > best:
            x, y = across.at(point.time), upright.at(point.score)
            corners += [(x, corners[-1][1]), (x, y)] if corners else [(x, y)]
            best = point.score
    return [*corners, (across.end, corners[-1][1])]


def draw_error_bar(point: CostPoint, across: Axis, upright: Axis) -> list[Mark]:
    if not point.sd:
        return []
    x = across.at(point.time)
    return [make_line(x, upright.at(point.score - point.sd), x, upright.at(point.score + point.sd), point.ink, 1.3)]


def draw_point(point: CostPoint, across: Axis, upright: Axis, scale: MetricFormat) -> Circle:
    tip = f"{point.number} {point.label}: {scale.format_with_unit(point.score)} at {point.time:.4g}"
    return Circle(x=across.at(point.time), y=upright.at(point.score), radius=5, ink=point.ink, tip=tip)


def draw_numbers(points: Sequence[CostPoint], across: Axis, upright: Axis) -> list[Mark]:
    """The number beside each point, shifted if the place is taken."""
    taken: list[tuple[float, float]] = []
    marks: list[Mark] = []
    for point in sorted(points, key=lambda each: (across.at(each.time), each.score)):
        x, y = across.at(point.time) + 9, upright.at(point.score) + 4
        shifts = [(dx, dy) for dx in (0, -26) for dy in (0, -13, 13, -26, 26)]
        dx, dy = next(((dx, dy) for dx, dy in shifts if is_free(x + dx, y + dy, taken)), (0, 0))
        taken.append((x + dx, y + dy))
        marks.append(TextMark(x=x + dx, y=y + dy, text=point.number, size=11, is_bold=True, halo=True))
    return marks


def is_free(x: float, y: float, taken: Sequence[tuple[float, float]]) -> bool:
    return all(abs(x - other) > 17 or abs(y - height) > 11 for other, height in taken)
