"""Charts of points: score against cost, the history of a search, reliability."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import altair as alt

from sota_exp.report.drawing.chart import BLUE, FAINT, GREY, MUTED, ORANGE, PAPER, compute_range
from sota_exp.report.drawing.curves import arrange_panels, split_width

Values = Sequence[dict[str, Any]]

INK = alt.Color("ink:N", scale=None)


def draw_cost_scatter(points: Values, titles: tuple[str, str], size: tuple[float, float]) -> alt.LayerChart:
    """One numbered point per arm (number, time, score, low, high, ink, tip), the Pareto front behind.

    titles: horizontal axis, vertical axis. The time axis is logarithmic if times differ by more than 4×.
    """
    times = [point["time"] for point in points]
    is_log = max(times) > 4 * min(times) > 0
    across = (
        (min(times) / 1.25, max(times) * 1.25) if is_log else compute_range(times, margin=0.1, least=0.1 * max(times))
    )
    upright = compute_range([point[end] for point in points for end in ("low", "high")], least=1e-3)
    x_scale = alt.Scale(type="log" if is_log else "linear", domain=list(across), nice=False)
    x_axis = alt.Axis(title=titles[0], format="~g", tickCount=max(2, int(size[0] / 90)))
    y_scale, y_axis = alt.Scale(domain=list(upright), nice=False, zero=False), alt.Axis(title=titles[1], tickCount=6)
    front = alt.Chart(alt.Data(values=find_pareto_front(points, across[1])))
    front = front.mark_line(color=FAINT, strokeWidth=2, interpolate="step-after")
    base = alt.Chart(alt.Data(values=place_numbers(points, across, upright, size, is_log)))
    number = base.mark_text(fontSize=11, fontWeight=600, align="left", stroke=PAPER, strokeWidth=3)

    def at(x: str, y: str) -> list[alt.X | alt.Y]:
        return [alt.X(f"{x}:Q", scale=x_scale, axis=x_axis), alt.Y(f"{y}:Q", scale=y_scale, axis=y_axis)]

    return alt.layer(
        front.encode(*at("time", "score")),
        base.mark_rule(strokeWidth=1.3).encode(*at("time", "low"), alt.Y2("high"), INK),
        base.mark_circle(size=80, opacity=1, aria=True).encode(*at("time", "score"), INK, description="tip:N"),
        number.encode(*at("number_x", "number_y"), text="number:N"),
    ).properties(width=size[0], height=size[1])


def find_pareto_front(points: Values, end: float) -> list[dict[str, float]]:
    """The points that no point of shorter time exceeds, and the end of the axis."""
    ordered = sorted(points, key=lambda each: (each["time"], -each["score"]))
    best = list(itertools.accumulate((each["score"] for each in ordered), max))
    return [{"time": each["time"], "score": score} for each, score in zip(ordered, best, strict=True)] + [
        {"time": end, "score": best[-1]}
    ]


def place_numbers(
    points: Values, across: tuple[float, float], upright: tuple[float, float], size: tuple[float, float], is_log: bool
) -> list[dict[str, Any]]:
    """The points with the place of their number (number_x, number_y) beside them; None where there is no room."""
    to_scale, to_value = (math.log, math.exp) if is_log else (float, float)
    begin, end = map(to_scale, across)
    x_pixel, y_pixel = (end - begin) / size[0], (upright[1] - upright[0]) / size[1]
    taken: list[tuple[float, float]] = []
    found = []
    for point in sorted(points, key=lambda each: (each["time"], each["score"])):
        x, y = (to_scale(point["time"]) - begin) / x_pixel, (point["score"] - upright[0]) / y_pixel
        places = [(x + dx, y + dy) for dy in (0, 13, -13, 26, -26, 39, -39) for dx in (9, -21)]
        free = (each for each in places if all(abs(each[0] - a) > 20 or abs(each[1] - b) > 11 for a, b in taken))
        place = next(free, None)
        taken += [place] if place else []
        number_x = place and to_value(begin + place[0] * x_pixel)
        number_y = place and upright[0] + place[1] * y_pixel
        found.append(point | {"number_x": number_x, "number_y": number_y})
    return found


def draw_search_history(trials: Values, sign: int, title: str, size: tuple[float, float]) -> alt.LayerChart:
    """The value of every trial (number, value, is_complete, tip) and the best so far.

    sign: 1 if higher is better, −1 if lower is. The vertical range is that of the better three quarters.
    """
    kept = sorted((each["value"] for each in trials), key=lambda value: -sign * value)[: max(2, len(trials) * 3 // 4)]
    low, high = compute_range(kept, margin=0.1, least=1e-6)
    last = max(each["number"] for each in trials)
    x = alt.Axis(title="trial", tickMinStep=1, format="d", tickCount=int(size[0] / 70))
    y = alt.Axis(title=title, tickCount=6)
    base = alt.Chart(alt.Data(values=list(trials))).encode(
        alt.X("number:Q", scale=alt.Scale(domain=[-0.5, last + 0.5], nice=False), axis=x),
        alt.Y("value:Q", scale=alt.Scale(domain=[low, high], nice=False, zero=False, clamp=True), axis=y),
    )
    complete = sorted((each for each in trials if each["is_complete"]), key=lambda each: each["number"])
    best = itertools.accumulate((sign * each["value"] for each in complete), max)
    steps = [{"number": each["number"], "value": sign * value} for each, value in zip(complete, best, strict=True)]
    steps += [steps[-1] | {"number": last + 0.5}] if steps else []
    line = alt.Chart(alt.Data(values=steps)).mark_line(color=ORANGE, strokeWidth=1.6, interpolate="step-after")
    discs = base.mark_point(size=46, strokeWidth=1.8, opacity=1, aria=True).encode(
        fill=alt.condition("datum.is_complete", alt.value(BLUE), alt.value(PAPER)),
        stroke=alt.condition("datum.is_complete", alt.value(BLUE), alt.value(GREY)),
        description="tip:N",
    )
    return alt.layer(line.encode(x="number:Q", y="value:Q"), discs).properties(width=size[0], height=size[1])


def draw_reliability_panels(bins: Values, width: float) -> alt.FacetChart:
    """Accuracy by confidence (panel, confidence, correct, weight, ink, tip); on the diagonal they are equal.

    The area of a ring is its share of the images.
    """
    columns, side = split_width(width, 165)
    percent = {"values": [0, 0.5, 1], "labelExpr": "100 * datum.value", "grid": True}
    x = alt.X("confidence:Q", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(title="confidence, %", **percent))
    y = alt.Y("correct:Q", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(title="", **percent))
    base = alt.Chart().encode(x, y)
    size = alt.Size("weight:Q", scale=alt.Scale(domain=[0, 1], range=[10, 1600]), legend=None)
    rings = base.mark_point(strokeWidth=1.8, fill=PAPER, opacity=1, aria=True).encode(INK, size, description="tip:N")
    diagonal = alt.Chart(alt.Data(values=[{}])).mark_rule(color=MUTED, strokeDash=[3, 3], strokeWidth=1.2)
    diagonal = diagonal.encode(x=alt.datum(0), y=alt.datum(0), x2=alt.datum(1), y2=alt.datum(1))
    drawn = alt.layer(diagonal, rings, data=alt.Data(values=list(bins))).properties(width=side, height=side)
    return arrange_panels(drawn, [each["panel"] for each in bins], columns, side)
