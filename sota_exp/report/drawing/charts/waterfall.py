"""Waterfall chart of a ladder: one bar per step from the value before to the value after, with the step's interval."""

from collections.abc import Sequence
from dataclasses import dataclass

from sota_exp.report.drawing.axis import Axis, compute_range, count_decimals, draw_vertical_grid
from sota_exp.report.drawing.charts.forest import draw_interval, row_text
from sota_exp.report.drawing.drawing import (
    Circle,
    Drawing,
    Mark,
    TextMark,
    estimate_text_width,
    make_line,
    make_rectangle,
)
from sota_exp.report.study.study import ConfidenceInterval
from sota_exp.statistics.units import MetricFormat

ROW, TALL_ROW = 26, 40


@dataclass(frozen=True, kw_only=True)
class WaterfallStep:
    """Values before and after a step; `before` is None for the first step, `after` if the arm has no result."""

    label: str
    before: float | None
    after: float | None
    interval: ConfidenceInterval | None
    word: str
    ink: str


def draw_waterfall(
    steps: Sequence[WaterfallStep], scale: MetricFormat, axis_title: str, width: float, alt: str
) -> Drawing:
    """One row per step from top to bottom; below 520 pixels, labels are above their rows."""
    is_tall = width < 520
    row, label_room = (TALL_ROW, 0.0) if is_tall else (ROW, compute_label_width(steps, width))
    note = 0.0 if is_tall else max(estimate_text_width(step.word, 11.5) for step in steps) + 12
    top, bottom = 8.0, 8.0 + row * len(steps) + 4
    axis = choose_axis(steps, 10 if is_tall else label_room + 14, width - note - (10 if is_tall else 0))
    marks = draw_axis(axis, scale, top, bottom)
    for index, step in enumerate(steps):
        y = top + row * index + (row - 10 if is_tall else row / 2)
        following = steps[index + 1] if index + 1 < len(steps) else None
        marks += draw_bar(step, axis, y, scale)
        marks += draw_connector(step, following, axis, y, row)
        ink = "muted" if step.ink == "grey" else step.ink
        marks += row_text(step.label, step.word, ink, width, y, None if is_tall else (0.32 * width, width - note + 12))
    middle = (axis.begin + axis.end) / 2
    marks.append(TextMark(x=middle, y=bottom + 36, text=axis_title, ink="muted", anchor="middle", size=11.5))
    return Drawing(width=width, height=bottom + 44, marks=tuple(marks), alt=alt)


def compute_label_width(steps: Sequence[WaterfallStep], width: float) -> float:
    return min(max(estimate_text_width(step.label) for step in steps), 0.32 * width)


def choose_axis(steps: Sequence[WaterfallStep], begin: float, end: float) -> Axis:
    ends = [value for step in steps for value in (step.before, step.after) if value is not None]
    low, high = compute_range(ends, least=1e-6)
    reach = high - low
    whiskers = [
        end for step in steps for end in get_interval_ends(step) if low - 0.5 * reach < end < high + 0.5 * reach
    ]
    low, high = compute_range([*ends, *whiskers], margin=0.04, least=1e-6)
    return Axis(low=low, high=high, begin=begin, end=end)


def get_interval_ends(step: WaterfallStep) -> tuple[float, ...]:
    """The ends of a step's interval as values; empty if there is none."""
    if step.interval is None or step.before is None:
        return ()
    return step.before + step.interval.low, step.before + step.interval.high


def draw_axis(axis: Axis, scale: MetricFormat, top: float, bottom: float) -> list[Mark]:
    shown = axis.scaled(scale.factor)
    places = shown.compute_ticks(max(3, int((axis.end - axis.begin) / 70)))
    return draw_vertical_grid(shown, top, bottom, {value: f"{value:.{count_decimals(places)}f}" for value in places})


def draw_bar(step: WaterfallStep, axis: Axis, y: float, scale: MetricFormat) -> list[Mark]:
    """A bar from the value before to the value after; a disc for the first step."""
    if step.after is None:
        return []
    tip = f"{step.label}: {scale.format_with_unit(step.after)}"
    if step.before is None:
        return [Circle(x=axis.at(step.after), y=y, radius=5, ink=step.ink, tip=tip)]
    begin, end = axis.at(step.before), axis.at(step.after)
    marks: list[Mark] = [
        make_rectangle(begin, y - 7, end - begin, 14, step.ink, 0.35, tip),
        make_line(end, y - 7, end, y + 7, step.ink, 2.5),
    ]
    if step.interval is not None:
        low, high = get_interval_ends(step)
        marks += draw_interval(ConfidenceInterval(low=low, high=high), axis, y, step.ink)
    return marks


def draw_connector(
    step: WaterfallStep, following: WaterfallStep | None, axis: Axis, y: float, row: float
) -> list[Mark]:
    """A dashed line from the end of a step down to the start of the next."""
    if step.after is None or following is None or following.before is None:
        return []
    x = axis.at(step.after)
    return [make_line(x, y + 7, x, y + row - 7, "muted", 1, "2 2")]
