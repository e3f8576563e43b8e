"""Numbers as text, axes, and drawings as data."""

import itertools
import math

import pytest

from sota_exp.report import numbers
from sota_exp.report.drawing import svg
from sota_exp.report.drawing.axis import Axis, compute_range, compute_ticks, count_decimals
from sota_exp.report.drawing.drawing import (
    INKS,
    Circle,
    Drawing,
    TextMark,
    arrange_panels,
    estimate_text_width,
    make_line,
    make_rectangle,
    shift_mark,
    shorten_text,
)
from sota_exp.report.study.study import ConfidenceInterval
from sota_exp.statistics import units


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (units.SHARE_FORMAT.value(0.83871), "83.87"),
        (units.SHARE_FORMAT.format_with_unit(0.5), "50.00 %"),
        (units.SHARE_FORMAT.difference(0.0124), "+1.24"),
        (units.SHARE_FORMAT.difference(-0.0031), "−0.31"),
        (units.SHARE_FORMAT.difference(-0.00001), "0.00"),
        (numbers.format_interval(units.SHARE_FORMAT, ConfidenceInterval(low=-0.01, high=0.02)), "−1.00 to +2.00"),
        (units.SHARE_FORMAT.format_difference_with_unit(None), "–"),
        (units.PLAIN_FORMAT.format_with_unit(1.25), "1.2500"),
        (units.format_p_value(0.0004), "< 0.001"),
        (units.format_p_value(0.0005), "0.001"),
        (units.format_p_value(1.0), "1.000"),
        (numbers.format_duration(5.64), "5.6 s"),
        (numbers.format_duration(48.2), "48 s"),
        (numbers.format_duration(0.34), "0.3 s"),
        (numbers.format_duration(59.7), "1 min"),
        (numbers.format_duration(61), "1 min 1 s"),
        (numbers.format_duration(125), "2 min 5 s"),
        (numbers.format_duration(3599.8), "1 h"),
        (numbers.format_duration(25500), "7 h 5 min"),
        (numbers.format_duration(273_600), "76 h"),
        (numbers.format_duration(3600), "1 h"),
        (numbers.format_duration(12000), "3 h 20 min"),
        (numbers.format_duration(None), "–"),
        (numbers.format_quantity(308826), "309 k"),
        (numbers.format_quantity(13593088, "FLOPs"), "13.6 MFLOPs"),
        (numbers.format_quantity(12.0), "12"),
        (numbers.format_mebibytes(900 * 2**20), "900 MiB"),
        (units.format_signed(-3875.7, 0), "−3,876"),
        (numbers.format_count(1, "seed"), "1 seed"),
        (numbers.format_count(8, "seed"), "8 seeds"),
        (numbers.join_with_and(["a"]), "a"),
        (numbers.join_with_and(["a", "b", "c"]), "a, b and c"),
        (numbers.choose_time_unit(299), ("s", 1.0)),
        (numbers.choose_time_unit(86400), ("hours", 3600.0)),
    ],
)
def test_shown(shown: object, expected: object) -> None:
    assert shown == expected


@pytest.mark.parametrize("low", [-3.7, 0.0, 0.001, 71.2])
@pytest.mark.parametrize("width", [1e-4, 0.3, 1.0, 7.0, 950.0])
@pytest.mark.parametrize("most", [2, 5, 9])
def test_ticks_are_few_inside_and_even(low: float, width: float, most: int) -> None:
    found = compute_ticks(low, low + width, most)
    assert len(found) <= most + 1
    assert all(low - 1e-9 <= each <= low + width + 1e-9 for each in found)
    steps = {round((after - before) / width, 6) for before, after in itertools.pairwise(found)}
    assert len(steps) <= 1
    texts = [f"{each:.{count_decimals(found)}f}" for each in found]
    assert len(set(texts)) == len(texts)


def test_an_axis_keeps_what_lies_outside_at_its_ends() -> None:
    axis = Axis(low=1, high=3, begin=100, end=0)
    assert [axis.at(value) for value in (0, 1, 2, 3, 9)] == [100, 100, 50, 0, 0]
    logarithmic = Axis(low=1, high=100, begin=0, end=10, is_log=True)
    assert logarithmic.at(10) == pytest.approx(5)
    assert logarithmic.compute_ticks() == [1, 2, 5, 10, 20, 50, 100]


def test_a_range_holds_its_values_and_never_closes() -> None:
    assert compute_range([]) == (0.0, 1.0)
    low, high = compute_range([2.0, 2.0], least=0.5)
    assert (low, high) == (1.75, 2.25)
    low, high = compute_range([1.0, 3.0, math.nan])
    assert low < 1 and high > 3


def test_text_is_cut_to_its_room() -> None:
    assert shorten_text("EMA", 100) == "EMA"
    cut = shorten_text("repeated augmentation of everything", 80)
    assert cut.endswith("…") and estimate_text_width(cut) <= 80


def test_a_sheet_holds_every_mark_inside_its_paper() -> None:
    one = Drawing(
        width=100, height=50, marks=(make_line(0, 0, 100, 50), Circle(x=5, y=5, radius=2, ink="red")), alt="one"
    )
    paper = arrange_panels([(f"no. {index}", one) for index in range(5)], 240, "five")
    assert len(paper.marks) == 5 * 3
    corners = [point for mark in paper.marks if not isinstance(mark, Circle | TextMark) for point in mark.points]
    assert all(0 <= x <= paper.width and 0 <= y <= paper.height for x, y in corners)
    assert shift_mark(Circle(x=1, y=2, radius=1, ink="red"), 3, 4) == Circle(x=4, y=6, radius=1, ink="red")


def test_marks_are_written_with_names_of_inks_and_escaped() -> None:
    marks = (
        TextMark(x=1.25, y=-0.01, text="<b> & c", anchor="end", is_bold=True, halo=True),
        make_rectangle(0, 0, 4, 2, "blue", 0.5, 'tip "&"'),
        Circle(x=1, y=1, radius=2, ink="red", is_hollow=True),
        make_line(0, 0, 1, 1, "grey", 1, "2 2"),
    )
    text = svg.drawing_to_svg_file(Drawing(width=10, height=5, marks=marks, alt='"quoted"'))
    assert (
        '<text class="f-text halo" x="1.2" y="0" font-size="12" text-anchor="end" font-weight="600">&lt;b&gt; &amp; c'
        in text
    )
    assert '<polygon class="f-blue" opacity="0.5" points="0,0 4,0 4,2 0,2"><title>tip &quot;&amp;&quot;</title>' in text
    assert 'class="f-paper s-red"' in text and 'stroke-dasharray="2 2"' in text and "&quot;quoted&quot;" in text


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("name", sorted(set(INKS) - {"paper", "faint"}))
@pytest.mark.parametrize("side", [0, 1], ids=["light", "dark"])
def test_inks_can_be_read_on_their_paper(name: str, side: int) -> None:
    """WCAG 2.1: a contrast of 4.5 for text."""
    darker, lighter = sorted(luminance(INKS[ink][side]) for ink in (name, "paper"))
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5
