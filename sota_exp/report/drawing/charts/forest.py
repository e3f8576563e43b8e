"""Forest plot: one row per effect with its estimate and interval on a common axis, and the same as text."""

from collections.abc import Sequence
from dataclasses import dataclass

from sota_exp.report.drawing.axis import Axis, compute_range, count_decimals, draw_vertical_grid
from sota_exp.report.drawing.drawing import (
    Circle,
    Drawing,
    Mark,
    Polygon,
    TextMark,
    estimate_text_width,
    make_line,
    shorten_text,
)
from sota_exp.report.numbers import format_interval
from sota_exp.report.study.study import ConfidenceInterval
from sota_exp.statistics.paired import Estimate
from sota_exp.statistics.units import MetricFormat

#: Height of a row in pixels with labels beside the plot, and with labels above it.
ROW, TALL_ROW = 25, 42


@dataclass(frozen=True, kw_only=True)
class ForestRow:
    """An estimate and its interval; `second`: a dashed interval below; `word`: text at the right; hollow: undecided."""

    label: str
    mean: float | None
    interval: ConfidenceInterval | Estimate | None
    word: str
    ink: str = "grey"
    is_hollow: bool = True
    second: ConfidenceInterval | Estimate | None = None


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Positions in pixels: labels begin at 0, the plot is between `left` and `right`, the texts begin at `note`."""

    left: float
    right: float
    note: float
    step: float
    is_tall: bool


def draw_forest_plot(
    rows: Sequence[ForestRow], scale: MetricFormat, axis_title: str, width: float, alt: str
) -> Drawing:
    """The plot, `width` pixels wide; below 520, labels are above their rows."""
    place = compute_layout(rows, width)
    axis = choose_axis(rows, place)
    top, bottom = 8.0, 8 + place.step * len(rows) + 4
    marks = draw_axis(axis, scale, top, bottom)
    zero = axis.at(0)
    marks.append(make_line(zero, top, zero, bottom, "muted", 1.2))
    for index, row in enumerate(rows):
        marks += draw_row(row, axis, place, top + place.step * index, scale, width)
    middle = (place.left + place.right) / 2
    marks.append(TextMark(x=middle, y=bottom + 36, text=axis_title, ink="muted", anchor="middle", size=11.5))
    return Drawing(width=width, height=bottom + 44, marks=tuple(marks), alt=alt)


def draw_axis(axis: Axis, scale: MetricFormat, top: float, bottom: float) -> list[Mark]:
    """Ticks in the displayed unit."""
    shown = axis.scaled(scale.factor)
    places = shown.compute_ticks(max(3, int((axis.end - axis.begin) / 70)))
    decimals = count_decimals(places)
    texts = {value: f"{value:+.{decimals}f}".replace("-", "−") if value else "0" for value in places}
    return draw_vertical_grid(shown, top, bottom, texts)


def compute_layout(rows: Sequence[ForestRow], width: float) -> Layout:
    if width < 520:
        return Layout(left=14, right=width - 14, note=0, step=TALL_ROW, is_tall=True)
    widest = max((estimate_text_width(row.label) for row in rows), default=0)
    note = max((estimate_text_width(row.word, 11.5) for row in rows), default=0)
    left = min(widest, 0.32 * width) + 14
    return Layout(left=left, right=width - note - 14, note=width - note, step=ROW, is_tall=False)


def choose_axis(rows: Sequence[ForestRow], place: Layout) -> Axis:
    """A range with zero, every estimate and most intervals; one very long interval does not squeeze the rest."""
    means = [row.mean for row in rows if row.mean is not None]
    intervals = [each for row in rows for each in (row.interval, row.second) if each is not None]
    reaches = sorted(max(abs(each.low), abs(each.high)) for each in intervals)
    usual = 1.6 * reaches[len(reaches) * 3 // 4] if reaches else 0.0
    most = max([usual, *(1.3 * abs(mean) for mean in means)], default=0.0)
    ends = [min(max(end, -most), most) for each in intervals for end in (each.low, each.high)]
    low, high = compute_range([0.0, *means, *ends], least=1e-6)
    return Axis(low=low, high=high, begin=place.left, end=place.right)


def draw_row(row: ForestRow, axis: Axis, place: Layout, top: float, scale: MetricFormat, width: float) -> list[Mark]:
    middle = top + (30 if place.is_tall else place.step / 2)
    ink = row.ink if not row.is_hollow else "muted"
    beside = None if place.is_tall else (place.left - 14, place.note)
    marks = row_text(row.label, row.word, ink, width, middle, beside)
    if row.second is not None:
        marks.append(
            make_line(axis.at(row.second.low), middle + 6, axis.at(row.second.high), middle + 6, "orange", 1.6, "3 2")
        )
    if row.interval is not None:
        marks += draw_interval(row.interval, axis, middle, row.ink)
    if row.mean is not None:
        mean, interval = scale.format_difference_with_unit(row.mean), format_interval(scale, row.interval)
        tip = f"{row.label}: {mean}, interval {interval}"
        marks.append(Circle(x=axis.at(row.mean), y=middle, radius=4.5, ink=row.ink, is_hollow=row.is_hollow, tip=tip))
    return marks


def row_text(
    label: str, word: str, ink: str, width: float, middle: float, beside: tuple[float, float] | None
) -> list[Mark]:
    """The label and the text of a row: above it, or beside the plot: room of the label, beginning of the text."""
    if beside is not None:
        return [
            TextMark(x=0, y=middle + 4, text=shorten_text(label, beside[0])),
            TextMark(x=beside[1], y=middle + 4, text=word, ink=ink, size=11.5),
        ]
    room = width - estimate_text_width(word, 11.5) - 10
    return [
        TextMark(x=0, y=middle - 16, text=shorten_text(label, room), is_bold=True, halo=True),
        TextMark(x=width, y=middle - 16, text=word, ink=ink, anchor="end", size=11.5, halo=True),
    ]


def draw_interval(interval: ConfidenceInterval | Estimate, axis: Axis, y: float, ink: str) -> list[Mark]:
    """The interval as a line, with an arrow head at an end outside the plot."""
    low, high = axis.at(interval.low), axis.at(interval.high)
    marks: list[Mark] = [make_line(low, y, high, y, ink, 2)]
    for end, x, towards in ((interval.low, low, -1), (interval.high, high, 1)):
        if axis.clipped(end) == end:
            marks.append(make_line(x, y - 4, x, y + 4, ink, 2))
        else:
            marks.append(Polygon(points=((x, y - 4.5), (x, y + 4.5), (x + 7 * towards, y)), ink=ink))
    return marks
