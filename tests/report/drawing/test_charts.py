"""Charts show their values, labels and marks: nothing is cut or covered, in few inks, wide and narrow."""

import itertools
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import pytest
from altair.utils.schemapi import SchemaValidationError

from sota_exp.report.drawing.chart import (
    BLUE,
    FAINT,
    GREY,
    INKS,
    NARROW,
    ORANGE,
    PAPER,
    RED,
    TEXT,
    WIDE,
    Figure,
    compute_range,
    format_ink_css,
    write_png,
    write_svg,
)
from sota_exp.report.drawing.cost_scatter import draw_cost_scatter
from sota_exp.report.drawing.curves import CurveLine, compute_shared_range, draw_curve_panels, draw_curves
from sota_exp.report.drawing.forest_and_waterfall import (
    LEFT_ARROW,
    EffectRow,
    draw_forest_plot,
    draw_waterfall,
)
from sota_exp.report.drawing.image_grid import wrap
from sota_exp.report.drawing.trials import draw_parameters, draw_search_history
from sota_exp.report.study.runs import SeedCurve
from sota_exp.report.study.study import ConfidenceInterval
from sota_exp.statistics.units import PLAIN_FORMAT, SHARE_FORMAT
from tests.conftest import compare_with_schema
from tests.report.pictures import Picture
from tests.rows import each_row

NAMES = [
    "EMA",
    "类别猫狗",
    "$x_1$ and a_b",
    '<b>&amp;"\'</b> 1.2345 class="x"',
    "repeated augmentation of everything, twice and again",
]
WIDTHS = [WIDE, NARROW]


def chart_to_svg(chart: Any, alt: str = "", name: str = "") -> str:
    return Figure(name="a_chart", alt=alt, draw=lambda _: chart).to_svg(WIDE, name)


def picture(chart: Any) -> Picture:
    return Picture(chart_to_svg(chart, "what is seen"))


def interval(low: float, high: float) -> ConfidenceInterval:
    return ConfidenceInterval(low=low, high=high)


def effect(label: str, mean: float | None, reach: float = 0.01, word: str = "", **more: Any) -> EffectRow:
    found = None if mean is None else interval(mean - reach, mean + reach)
    word = word or f"{SHARE_FORMAT.difference(mean)}  cannot be distinguished"
    return EffectRow(**{"label": label, "mean": mean, "interval": found, "word": word} | more)


def names_fit(found: Picture) -> bool:
    """Every name is there, whole or with … at its end."""
    beginnings = [text.partition("…")[0] for text in found.words]
    return all(any(begin and name.startswith(begin.rstrip()) for begin in beginnings) for name in NAMES)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("num", [1, 5, 50])
def test_a_forest_plot_has_a_row_per_arm_with_nothing_cut_or_covered(width: float, num: int) -> None:
    rows = [effect(NAMES[index % 5], 0.001 * (index % 9)) for index in range(num)]
    found = picture(draw_forest_plot(rows, SHARE_FORMAT, "difference, points", width))
    assert found.words.count("EMA") == math.ceil(num / 5) and "difference, points" in found.words
    assert num < 5 or names_fit(found)
    assert found.find_overlaps() == found.find_cut() == []
    assert 0.85 * width < found.width < 1.1 * width
    assert found.tips[0] == "EMA: 0.00  cannot be distinguished, interval −1.00 to +1.00"
    assert (found.alt, found.role) == ("what is seen", "img")


def test_verdicts_are_seen_in_ink_and_fill_and_far_ends_are_arrows() -> None:
    rows = [
        effect("a", 0.02, word="+2.00  helps", ink=BLUE, is_hollow=False),
        effect("b", -0.02, word="−2.00  hurts", ink=RED, is_hollow=False),
        *(effect(name, 0.0) for name in "cde"),
        EffectRow(label="far", word="0.00", mean=0.0, interval=interval(-0.9, 0.01)),
        effect("gone", None, word="failed", ink=RED),
    ]
    found = picture(draw_forest_plot(rows, SHARE_FORMAT, "points", WIDE))
    assert (found.count(fill=BLUE, stroke=BLUE), found.count(fill=RED, stroke=RED)) == (3, 3)  # two caps and a disc
    assert found.count(fill=PAPER, stroke=GREY) == 4
    texts = {text.text: text.ink for text in found.texts}
    assert texts["+2.00  helps"] == BLUE and texts["−2.00  hurts"] == RED and texts["a"] == TEXT
    assert "0" in found.words and any(word.startswith("−") for word in found.words)
    assert len(found.tips) == 6
    specification = draw_forest_plot(rows, SHARE_FORMAT, "points", WIDE).to_dict()
    shapes = [row["shape"] for layer in specification["layer"] for row in data(specification, layer) if "shape" in row]
    assert shapes.count(LEFT_ARROW) == 1 and len(shapes) == 12


def data(specification: dict[str, Any], layer: dict[str, Any]) -> list[dict[str, Any]]:
    found = layer.get("data") or specification.get("data")
    return list(found.get("values", [])) if found else []


@pytest.mark.parametrize("width", WIDTHS)
def test_a_waterfall_joins_its_steps(width: float) -> None:
    steps = [effect("Baseline", 0.7, word="70.00 %", ink=TEXT, is_hollow=False)]
    for index, gain in enumerate((0.05, -0.02, 0.01, 0.0)):
        before = steps[-1].mean
        assert before is not None
        after, ends = before + gain, interval(gain - 0.01, gain + 0.01)
        word, ink = SHARE_FORMAT.difference(gain), BLUE if index == 0 else GREY
        steps.append(EffectRow(label=NAMES[index], before=before, mean=after, interval=ends, word=word, ink=ink))
    steps.append(EffectRow(label="failed step", before=steps[-1].mean, mean=None, interval=None, word="failed"))
    found = picture(draw_waterfall(steps, SHARE_FORMAT, "accuracy, %", width))
    assert [word for word in found.words if word[0] in "+−0" and "." in word] == ["+5.00", "−2.00", "+1.00", "0.00"]
    assert found.count(opacity="0.35") == 4
    assert sorted(tip.partition(":")[0] for tip in found.tips) == sorted(["Baseline", *NAMES[:4]])
    assert found.count(stroke_dasharray="2,2") == 5
    assert found.find_overlaps() == found.find_cut() == []
    assert {"failed step", "failed", "accuracy, %", "70.00 %"} <= set(found.words)


def curve(begin: float, end: float, sd: float = 0.01, num: int = 12) -> SeedCurve:
    mean = np.linspace(begin, end, num)
    return SeedCurve(x=np.arange(num) + 1.0, mean=mean, sd=np.full(num, sd), n=3)


@pytest.mark.parametrize("width", WIDTHS)
def test_panels_of_curves_share_their_range_and_name_their_arm(width: float) -> None:
    lines = [CurveLine(curve=curve(0.5, 0.7 + 0.02 * at), ink=BLUE, panel=f"{at} {NAMES[at]}") for at in range(5)]
    lines += [CurveLine(curve=curve(0.5, 0.7), ink=GREY, dash=(4, 3), panel=line.panel) for line in lines]
    found = picture(draw_curve_panels(lines, SHARE_FORMAT, width))
    assert found.words.count("epoch") == 5 and {"0 EMA", "1 类别猫狗"} <= set(found.words)
    assert found.count(opacity="0.18") == 10 and found.count(stroke_dasharray="4,3") == 5
    assert found.find_overlaps() == found.find_cut() == []
    assert found.width < 1.1 * width
    numbers = [word for word in found.words if word.isdigit() and int(word) > 12]
    assert len(numbers) == 5 * len(set(numbers)) > 10


def test_chosen_points_are_discs_and_a_single_point_is_one_too() -> None:
    lines = [CurveLine(curve=curve(0.5, 0.6), ink=BLUE, marks={3.0: 5.0, 4.0: 2.0, 99.0: 9.0})]
    found = picture(draw_curves(lines, SHARE_FORMAT, (300, 200)))
    assert found.tips == ["3: 51.82 %", "4: 52.73 %"]
    alone = picture(draw_curves([CurveLine(curve=curve(0.5, 0.5, num=1), ink=RED)], PLAIN_FORMAT, (300, 200)))
    assert alone.tips == ["1: 0.5000"]


@pytest.mark.parametrize("num", [1, 2, 3, 40, 600])
def test_epochs_are_whole_numbers(num: int) -> None:
    drawn = draw_curves([CurveLine(curve=curve(0.5, 0.6, num=num), ink=BLUE)], SHARE_FORMAT, (300, 200))
    below = [text for text in picture(drawn).texts if text.top > 205 and text.text.strip() and text.text != "epoch"]
    assert [text.text for text in below] == sorted({text.text for text in below}, key=int)
    assert below and all(1 <= int(text.text) <= num for text in below)


def point(index: int, time: float) -> dict[str, Any]:
    score = 70 + (index * 7) % 5
    ends = {"low": score - 1, "high": score + 1}
    return {"number": str(index), "tip": f"arm {index}", "time": time, "score": score, "ink": BLUE, **ends}


@pytest.mark.parametrize(("factor", "is_log"), [(1.0, False), (3.0, True)])
def test_costs_are_numbered_points_before_their_front(factor: float, is_log: bool) -> None:
    points = [point(index, 10 * (1 + 0.1 * index) ** factor) for index in range(12)]
    found = picture(draw_cost_scatter(points, ("time, s", "accuracy, %"), (850, 345)))
    assert {str(index) for index in range(12)} | {"time, s", "accuracy, %"} <= set(found.words)
    assert sorted(map(str, found.tips)) == sorted(f"arm {index}" for index in range(12))
    assert found.find_overlaps() == found.find_cut() == []
    front = find_line(draw_cost_scatter(points, ("", ""), (850, 345)), FAINT)
    assert front == sorted(front, reverse=True) and len(set(front)) == 3  # 70, 72, 74
    assert not any("e" in word and "+" in word for word in found.words)
    kind = draw_cost_scatter(points, ("", ""), (850, 345)).to_dict()["layer"][1]["encoding"]["x"]["scale"]["type"]
    assert kind == ("log" if is_log else "linear")


def find_line(chart: Any, ink: str) -> list[float]:
    """The pixels from the top of the points of the line in this ink, from left to right."""
    (line,) = [mark for mark in picture(chart).marks if mark.get("stroke") == ink and "L" in (mark.get("d") or "")]
    return [float(place) for place in re.findall(r",([\d.]+)", line.get("d") or "")]


def test_a_history_has_rings_for_what_did_not_end_and_a_line_of_the_best() -> None:
    trials = [
        {"number": at, "value": value, "is_complete": at != 2, "tip": f"trial {at}"}
        for at, value in enumerate((0.5, 0.7, 0.9, 0.6, 0.8))
    ]
    found = picture(draw_search_history(trials, 1, "val/accuracy", (850, 230)))
    assert found.count(fill=BLUE) == 4 and found.count(fill=PAPER, stroke=GREY) == 1
    heights = [find_line(draw_search_history(trials, sign, "", (850, 230)), ORANGE) for sign in (1, -1)]
    assert heights[0] == sorted(heights[0], reverse=True) and len(set(heights[0])) == 3  # 0.5, 0.7 twice, 0.8
    assert len(set(heights[1])) == 1
    assert picture(draw_search_history(trials[2:3], 1, "", (850, 230))).tips == ["trial 2"]


DRAWN: dict[str, Callable[[], Any]] = {
    "forest": lambda: draw_forest_plot([effect("a", 0.1, ink=BLUE)], SHARE_FORMAT, "x", WIDE),
    "curves": lambda: draw_curves([CurveLine(curve=curve(0.5, 0.6), ink=RED)], SHARE_FORMAT, (300, 200)),
    "cost": lambda: draw_cost_scatter([point(0, 1.0), point(1, 2.0)], ("x", "y"), (300, 200)),
}


@pytest.mark.parametrize("name", DRAWN)
def test_every_ink_of_a_drawing_changes_between_light_and_dark(name: str) -> None:
    found = picture(DRAWN[name]())
    assert found.inks <= {light for light, _ in INKS.values()}
    css = format_ink_css()
    assert all(f'[fill="{ink}"]' in css and f'[stroke="{ink}"]' in css for ink in found.inks)
    assert css.index("prefers-color-scheme:dark") < css.index(INKS["text"][1])


def test_files_hold_the_drawing_and_its_words_are_escaped(tmp_path: Path) -> None:
    svg = chart_to_svg(draw_forest_plot([effect('<b> & "c"', 0.1)], SHARE_FORMAT, "x", WIDE), '"quoted" <alt>', "wide")
    assert 'class="wide"' in svg and "<b>" not in svg and "xmlns" not in svg
    write_svg(svg, tmp_path / "a.svg")
    write_png(svg, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    file = (tmp_path / "a.svg").read_text()
    assert file.startswith('<svg xmlns="http://www.w3.org/2000/svg"') and format_ink_css() in file
    assert Picture(svg).alt == '"quoted" <alt>' and '<b> & "c"' in Picture(svg).words


def test_numbers_of_attributes_are_rounded_and_those_of_texts_are_not() -> None:
    chart = alt.Chart(alt.Data(values=[{"x": 1 / 3}])).mark_text(x=100 / 3, y=9).encode(text=alt.value("0.12345"))
    svg = chart_to_svg(chart)
    assert "33.33" in svg and "33.333" not in svg and "0.12345" in svg


def test_a_range_holds_its_values_and_never_closes() -> None:
    assert compute_range([]) == (0.0, 1.0)
    low, high = compute_range([2.0, 2.0], least=0.5)
    assert (low, high) == (1.75, 2.25)
    low, high = compute_range([1.0, 3.0, math.nan])
    assert low < 1 and high > 3


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@each_row("name, side", itertools.product(sorted(set(INKS) - {"paper", "faint"}), [0, 1]))
def test_inks_can_be_read_on_their_paper(name: str, side: int) -> None:
    """WCAG 2.1: a contrast of 4.5 for text."""
    darker, lighter = sorted(luminance(INKS[ink][side]) for ink in (name, "paper"))
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5


def test_what_the_schema_refuses_is_found_where_tests_compare_with_it(monkeypatch):
    """The package skips the schema of Vega-Lite to save time."""
    wrong = alt.Chart(alt.Data(values=[{"x": 1}])).mark_point().encode(alt.X("x:Q"))
    wrong.height = "high"
    assert chart_to_svg(wrong.properties(width=10))
    compare_with_schema(monkeypatch)
    with pytest.raises(SchemaValidationError, match="high"):
        chart_to_svg(wrong)


@pytest.mark.parametrize(("sign", "bad", "shape"), [(1, 0.1, "triangle-down"), (-1, 9.0, "triangle-up")])
def test_a_trial_beyond_the_scale_is_a_triangle_at_its_edge(sign: int, bad: float, shape: str) -> None:
    trials = [
        {"number": at, "value": value, "is_complete": True, "tip": f"trial {at}: {value}"}
        for at, value in enumerate((bad, 0.8, 0.82, 0.81))
    ]
    line, discs = draw_search_history(trials, sign, "", (850, 230)).to_dict()["layer"]
    edges = discs["encoding"]["y"]["scale"]["domain"]
    found = [(row["place"], row["shape"]) for row in discs["data"]["values"]]
    assert found == [(edges[0] if sign == 1 else edges[1], shape), (0.8, "circle"), (0.82, "circle"), (0.81, "circle")]
    assert line["mark"]["clip"]
    assert picture(draw_search_history(trials, sign, "", (850, 230))).tips[0] == f"trial 0: {bad}"


@pytest.mark.parametrize("width", WIDTHS)
def test_trials_are_shown_by_each_parameter_on_its_own_kind_of_axis(width: float) -> None:
    knobs = [{"lr": 10.0**-at, "batch_size": 8 * at, NAMES[4]: NAMES[at], "flag": at == 2} for at in range(1, 5)]
    trials = [
        {"number": at, "value": 0.1 * at, "is_complete": True, "tip": f"trial {at}", "knobs": knobs[at]}
        for at in range(4)
    ]
    chart = draw_parameters(trials, list(knobs[0]), 1, "val/accuracy", width)
    scales = [each["encoding"]["x"].get("scale", {}).get("type") for each in chart.to_dict()["concat"]]
    assert scales == ["log", "linear", None, None]
    found = picture(chart)
    assert found.words.count("val/accuracy") == 4 and {"0.0001", "lr", "batch_size", "true"} <= set(found.words)
    assert found.find_overlaps() == found.find_cut() == [] and found.width < 1.1 * width


def test_a_curve_is_cut_at_the_edge_of_the_plot_and_its_discs_are_at_their_values() -> None:
    mean = np.array([0.1, 0.3, 0.5, 0.6, 0.65, 0.68, 0.7, 0.71, 0.72, 0.72])
    curve = SeedCurve(x=np.arange(10) + 1.0, mean=mean, sd=mean * 0, n=2)
    line = CurveLine(curve=curve, ink=BLUE, marks={1.0: 3, 10.0: 3})
    ends = compute_shared_range([line.curve], SHARE_FORMAT)
    rows = line.describe(0, ends, SHARE_FORMAT)
    assert [row["mean"] for row in rows] == pytest.approx(100 * mean)
    discs = [row for row in rows if row["area"]]
    assert [(row["x"], row["shape"]) for row in discs] == [(1.0, "triangle-down"), (10.0, "circle")]
    assert discs[0]["place"] == pytest.approx(100 * ends[0]) and discs[0]["tip"] == "1: 10.00 %"
    svg = chart_to_svg(draw_curves([line], SHARE_FORMAT, (300, 200)), "what is seen", "wide")
    clips = re.findall(r'clip-path="url\(#([^)]+)\)"', svg)
    assert len(set(clips)) == 2 and set(re.findall(r'<clipPath id="(.*?)"><rect', svg)) == set(clips)
    assert all(name.startswith("wide-") for name in clips), "their names are those of all figures of a page"


def test_all_of_a_short_curve_is_in_the_plot() -> None:
    curve = SeedCurve(x=np.arange(4) + 1.0, mean=np.array([0.1, 0.5, 0.6, 0.7]), sd=np.full(4, 0.01), n=2)
    low, high = compute_shared_range([curve], SHARE_FORMAT)
    assert low <= 0.09 and high >= 0.71


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("flowers_on_photos/0482.jpg", ["flowers_on_photos/", "0482.jpg"]),
        ("folder_name_long/IMG_20240101_123456789.jpg", ["folder_name_long/IMG_"]),
        ("a_name_without_any_of_it_0482.jpeg", ["a_name_without_any_", "of_it_0482.jpeg"]),
        ("anameofafilewithoutabreak0482.jpeg", ["anameofafilewithoutab", "reak0482.jpeg"]),
        ("Label smoothing alone: 100 %", ["Label smoothing", "alone: 100 %"]),
        ("", [""]),
    ],
)
def test_text_below_an_image_breaks_between_words_and_never_in_an_extension(text: str, lines: list[str]) -> None:
    found = wrap(text)
    assert found[: len(lines)] == lines and max(map(len, found)) <= 21
    assert text == "" or found[-1].endswith(text[-4:].strip())
