"""Matrix of interactions: one cell per pair of factors, shaded by estimate, framed if the interval excludes zero."""

from collections.abc import Mapping, Sequence

from sota_exp.report.drawing.drawing import Drawing, Mark, Polyline, TextMark, make_rectangle, shorten_text
from sota_exp.report.numbers import format_interval
from sota_exp.report.study.study import DesignEffect
from sota_exp.statistics.units import MetricFormat


def draw_interaction_matrix(
    factors: Sequence[str],
    pairs: Mapping[tuple[str, str], DesignEffect],
    scale: MetricFormat,
    width: float,
    alt: str,
    higher_is_better: bool = True,
) -> Drawing:
    """Lower triangle: rows are all factors but the first, columns all but the last."""
    num = len(factors) - 1
    room = min(0.3 * width, 150.0)
    side = min((width - room) / max(num, 1), 74.0)
    height = min(side, 40.0)
    top = 8.0
    largest = max((abs(each.estimate) for each in pairs.values() if each.estimate is not None), default=0.0) or 1.0
    marks: list[Mark] = []
    for row, second in enumerate(factors[1:]):
        y = top + row * height
        label = shorten_text(second, room - 10, 11.5)
        marks.append(TextMark(x=room - 8, y=y + height / 2 + 4, text=label, anchor="end", size=11.5))
        for column, first in enumerate(factors[: row + 1]):
            found = pairs.get((first, second)) or pairs.get((second, first))
            x = room + column * side
            marks += draw_interaction(found, x, y, side, height, largest, scale, higher_is_better)
    for column, first in enumerate(factors[:-1]):
        x, y = room + (column + 0.5) * side, top + num * height + 16
        marks.append(TextMark(x=x, y=y, text=shorten_text(first, side - 4, 11), anchor="middle", size=11))
    return Drawing(width=room + num * side + 4, height=top + num * height + 24, marks=tuple(marks), alt=alt)


def draw_interaction(
    found: DesignEffect | None,
    x: float,
    y: float,
    side: float,
    height: float,
    largest: float,
    scale: MetricFormat,
    higher_is_better: bool,
) -> list[Mark]:
    """The cell of a pair; grey if the pair was not measured."""
    if found is None or found.estimate is None:
        return [make_rectangle(x + 1, y + 1, side - 2, height - 2, "faint", 0.35)]
    ink = "blue" if (found.estimate > 0) == higher_is_better else "red"
    estimate = scale.format_difference_with_unit(found.estimate)
    tip = f"{found.name}: {estimate}, interval {format_interval(scale, found.interval)}"
    shade = 0.08 + 0.5 * abs(found.estimate) / largest
    is_clear = found.interval is not None and found.interval.excludes_zero
    text = scale.difference(found.estimate)
    marks: list[Mark] = [make_rectangle(x + 1, y + 1, side - 2, height - 2, ink, shade, tip)]
    if is_clear:
        left, right, above, below = x + 1.5, x + side - 1.5, y + 1.5, y + height - 1.5
        corners = ((left, above), (right, above), (right, below), (left, below), (left, above))
        marks.append(Polyline(points=corners, ink=ink, width=1.8))
    size = 11.5 if side >= 48 else 9.5
    return [
        *marks,
        TextMark(x=x + side / 2, y=y + height / 2 + 4, text=text, anchor="middle", size=size, is_bold=is_clear),
    ]
