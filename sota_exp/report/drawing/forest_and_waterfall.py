"""Charts with a row per arm: the forest plot of differences and the waterfall of a ladder."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
from rich.cells import cell_len

from sota_exp.config.values import shorten_middle
from sota_exp.report.drawing.chart import GREY, MUTED, PAPER, build_data, compute_range
from sota_exp.report.numbers import format_interval
from sota_exp.report.study.study import ConfidenceInterval
from sota_exp.statistics.paired import Estimate
from sota_exp.statistics.units import MetricFormat

#: Charts that are narrower have the texts of a row above it.
LEAST_WIDE = 520

#: Pixels of a character of a label and of a text in wide fonts (a Chinese one counts as two), and of the gap beside.
CHARACTERS, GAP = {"label": 7.2, "word": 6.6}, 14

#: Pixels of a character of a label that has to be cut.
LEAST_CHARACTER = 6.2

#: Ends of an interval: a cap inside the plot, arrow heads outside, which `NOTES` explains.
CAP, LEFT_ARROW, RIGHT_ARROW = "M0,-1V1", "M0,-1L-1.6,0L0,1Z", "M0,-1L1.6,0L0,1Z"

#: The values of a row by name, in the displayed unit.
Values = dict[str, Any]

INK = alt.Color("ink:N", scale=None)


@dataclass(frozen=True, kw_only=True)
class EffectRow:
    """A value, the interval of its difference from `before` (0 in a forest plot), and its text; hollow: undecided."""

    label: str
    word: str
    mean: float | None
    interval: ConfidenceInterval | Estimate | None
    before: float | None = None
    ink: str = GREY
    is_hollow: bool = True

    def describe(self, index: int, scale: MetricFormat) -> Values:
        start = self.before or 0.0
        numbers: Values = {"mean": self.mean, "before": self.before}
        numbers |= {
            "low": self.interval and start + self.interval.low,
            "high": self.interval and start + self.interval.high,
        }
        tip = f"{self.label}: {self.word}, interval {format_interval(scale, self.interval)}"
        words = {"label": self.label, "word": self.word, "tip": tip, "ink": self.ink}
        words |= {"word_ink": MUTED if self.ink == GREY else self.ink, "fill": PAPER if self.is_hollow else self.ink}
        shown = {name: None if value is None else scale.factor * value for name, value in numbers.items()}
        return {"row": index, "next": None, **words, **shown}


def draw_forest_plot(rows: Sequence[EffectRow], scale: MetricFormat, title: str, width: float) -> alt.LayerChart:
    """Differences with their intervals on a common axis with zero, and the same as text."""
    values = [row.describe(index, scale) for index, row in enumerate(rows)]
    axis = alt.Axis(title=title, labelExpr="datum.value ? format(datum.value, '+') : '0'")
    return draw_rows(values, [{"zero": 0}], choose_forest_range(values), axis, width)


def draw_waterfall(steps: Sequence[EffectRow], scale: MetricFormat, title: str, width: float) -> alt.LayerChart:
    """A bar per step from the value before to the value after, with the step's interval; a disc for a first step."""
    values = [step.describe(index, scale) for index, step in enumerate(steps)]
    for this, after in itertools.pairwise(values):
        this["next"] = after["row"] if None not in (this["mean"], after["before"]) else None
    return draw_rows(values, [], choose_waterfall_range(values), alt.Axis(title=title), width)


def find_numbers(values: Sequence[Values], *names: str) -> list[float]:
    return [row[name] for row in values for name in names if row[name] is not None]


def choose_forest_range(values: Sequence[Values]) -> tuple[float, float]:
    """A range with zero, every estimate and most intervals; one very long interval does not squeeze the rest."""
    means = find_numbers(values, "mean")
    ends = find_numbers(values, "low", "high")
    reaches = sorted(map(abs, ends))
    usual = 1.6 * reaches[len(reaches) * 7 // 8] if reaches else 0.0
    most = max([usual, *(1.3 * abs(mean) for mean in means)])
    return compute_range([0.0, *means, *(min(max(end, -most), most) for end in ends)], least=1e-6)


def choose_waterfall_range(values: Sequence[Values]) -> tuple[float, float]:
    """A range with every value, and with the intervals that do not double it."""
    means = find_numbers(values, "before", "mean")
    low, high = compute_range(means, least=1e-6)
    reach = (high - low) / 2
    ends = [end for end in find_numbers(values, "low", "high") if low - reach < end < high + reach]
    return compute_range([*means, *ends], margin=0.04, least=1e-6)


def choose_layout(values: Sequence[Values], width: float) -> tuple[float, float, dict[str, Any], dict[str, Any]]:
    """Width of the plot, height of a row, and the properties of the label and the word of a row, in pixels.

    Both are beside the plot; in a narrow chart above their row, one above the other if they do not fit in a line.
    """
    label_room, word_room = (
        max((pixels * cell_len(row[name]) for row in values), default=0) for name, pixels in CHARACTERS.items()
    )
    if width >= LEAST_WIDE:
        room = min(label_room, 0.32 * width)
        plot = width - 4 * GAP - room - word_room
        # The limit is that of a narrow font, in which pictures are measured.
        return plot, 25, {"x": -room - GAP, "limit": 0.28 * width}, {"x": plot + GAP}
    plot = width - 2 * GAP
    label: dict[str, Any] = {"x": 0, "fontWeight": 600, "limit": 0.86 * plot}
    if 1.1 * label_room + word_room <= plot:
        return plot, 42, label | {"dy": -15}, {"x": plot, "dy": -15, "align": "right"}
    return plot, 56, label | {"dy": -29}, {"x": 0, "dy": -14}


def draw_rows(
    values: Sequence[Values], zero: Sequence[Values], domain: tuple[float, float], axis: alt.Axis, width: float
) -> alt.LayerChart:
    """Steps, intervals, discs and texts of the rows; zero: one value if there is a line at zero."""
    plot, step, label, word = choose_layout(values, width)
    axis.tickCount = max(3, int(plot / 70))

    def place(field: str) -> alt.X:
        scale = alt.Scale(domain=list(domain), nice=False, zero=False, clamp=True)
        return alt.X(field, type="quantitative", scale=scale, axis=axis)

    most = int(label["limit"] / LEAST_CHARACTER)
    values = [row | {"label": shorten_middle(row["label"], most)} for row in values]
    rows = alt.Chart(build_data(values)).encode(alt.Y("row:O", axis=None))
    bars = rows.mark_bar(height=14, opacity=0.35, aria=True)
    links = rows.mark_rule(color=MUTED, strokeDash=[2, 2], yOffset=7, y2Offset=-7)
    halo = {"align": "left", "stroke": PAPER, "strokeWidth": 3}
    discs = rows.mark_point(size=65, strokeWidth=1.8, opacity=1, aria=True)
    discs = discs.encode(place("mean"), alt.Fill("fill:N", scale=None), alt.Stroke("ink:N", scale=None))
    return alt.layer(
        alt.Chart(build_data(zero)).mark_rule(color=MUTED, strokeWidth=1.2).encode(place("zero")),
        bars.encode(place("before"), alt.X2("mean"), INK, alt.Description("tip:N")).transform_filter(
            "datum.mean != null"
        ),
        links.encode(place("mean"), alt.Y2("next")).transform_filter("datum.next != null"),
        rows.mark_rule(strokeWidth=2).encode(place("low"), alt.X2("high"), INK),
        draw_ends(values, domain, place("end")),
        rows.mark_tick(thickness=2.5, height=14, opacity=1)
        .encode(place("mean"), INK)
        .transform_filter("datum.before != null"),
        discs.encode(alt.Description("tip:N")).transform_filter("datum.before == null"),
        rows.mark_text(**halo, **label).encode(alt.Text("label:N")),
        rows.mark_text(fontSize=11.5, **halo | word).encode(alt.Fill("word_ink:N", scale=None), alt.Text("word:N")),
    ).properties(width=plot, height=alt.Step(step))


def draw_ends(values: Sequence[Values], domain: tuple[float, float], place: alt.X) -> alt.Chart:
    """The ends of the intervals: arrow heads outside, caps inside."""
    ends = [
        {"row": row["row"], "ink": row["ink"], "end": row[name], "shape": CAP if is_inside else arrow}
        for row in values
        for name, arrow in (("low", LEFT_ARROW), ("high", RIGHT_ARROW))
        if row[name] is not None
        for is_inside in [domain[0] <= row[name] <= domain[1]]
    ]
    marks = alt.Chart(build_data(ends))
    marks = marks.mark_point(size=72, filled=True, opacity=1, strokeWidth=2)
    shape = alt.Shape("shape:N", scale=None)
    return marks.encode(alt.Y("row:O", axis=None), place, shape, INK, alt.Stroke("ink:N", scale=None))
