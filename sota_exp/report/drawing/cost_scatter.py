"""Scatter plot of score against training time: one numbered point per arm, error bars, Pareto front behind."""

import math
from collections.abc import Sequence
from typing import Any

import altair as alt

from sota_exp.report.drawing.chart import FAINT, PAPER, build_data, compute_range

Values = Sequence[dict[str, Any]]

INK = alt.Color("ink:N", scale=None)


def draw_cost_scatter(
    points: Values, titles: tuple[str, str], size: tuple[float, float], has_front: bool = True
) -> alt.LayerChart:
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
    ticks = [digit * 10.0**power for power in range(-6, 7) for digit in (1, 2, 5)]
    places = {"values": [tick for tick in ticks if across[0] <= tick <= across[1]]} if is_log else {}
    count = max(2, int(size[0] / 90))
    x_axis = alt.Axis(title=titles[0], labelExpr="format(datum.value, ',')", tickCount=count, **places)
    y_scale, y_axis = alt.Scale(domain=list(upright), nice=False, zero=False), alt.Axis(title=titles[1], tickCount=6)
    at_end = {"time": across[1], "score": upright[0]}
    front = alt.Chart(build_data([*points, at_end] if has_front else []))
    front = front.mark_line(color=FAINT, strokeWidth=2, interpolate="step-after")
    front = front.transform_window(
        best="max(score)", sort=[alt.SortField("time"), alt.SortField("score", "descending")]
    )
    base = alt.Chart(build_data(place_numbers(points, across, upright, size, is_log)))
    number = base.mark_text(fontSize=11, fontWeight=600, align="left", stroke=PAPER, strokeWidth=3)

    def at(x: str, y: str) -> list[alt.X | alt.Y]:
        return [alt.X(f"{x}:Q", scale=x_scale, axis=x_axis), alt.Y(f"{y}:Q", scale=y_scale, axis=y_axis)]

    return alt.layer(
        front.encode(*at("time", "best")),
        base.mark_rule(strokeWidth=1.3).encode(*at("time", "low"), alt.Y2("high"), INK),
        base.mark_circle(size=80, opacity=1, aria=True).encode(*at("time", "score"), INK, alt.Description("tip:N")),
        number.encode(*at("number_x", "number_y"), alt.Text("number:N")),
    ).properties(width=size[0], height=size[1])


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
