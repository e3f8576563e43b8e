"""Axes: from values to pixels, ticks at few round numbers, grid lines."""

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from sota_exp.report.drawing.drawing import Mark, TextMark, make_line


@dataclass(frozen=True, kw_only=True)
class Axis:
    """Values from `low` to `high` on the pixels from `begin` to `end` (may be reversed); logarithmic if `is_log`."""

    low: float
    high: float
    begin: float
    end: float
    is_log: bool = False

    def at(self, value: float) -> float:
        """The pixel of a value; values outside the range are clipped."""
        low, high, here = (
            math.log(part) if self.is_log else part for part in (self.low, self.high, self.clipped(value))
        )
        return self.begin + (self.end - self.begin) * (here - low) / (high - low)

    def clipped(self, value: float) -> float:
        return min(max(value, self.low), self.high)

    def scaled(self, factor: float) -> "Axis":
        """The axis for values multiplied by `factor`, on the same pixels."""
        return replace(self, low=self.low * factor, high=self.high * factor)

    def compute_ticks(self, most: int = 6) -> list[float]:
        return compute_log_ticks(self.low, self.high) if self.is_log else compute_ticks(self.low, self.high, most)


def compute_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten inside the range, about `most` of them."""
    step = round_up_step((high - low) / max(most, 1))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def round_up_step(least: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is at least `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def compute_log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times the powers of ten inside the range."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [factor * 10.0**power for power in powers for factor in (1, 2, 5) if low <= factor * 10.0**power <= high]


def compute_range(values: Iterable[float], margin: float = 0.06, least: float = 1e-9) -> tuple[float, float]:
    """The range of the finite values with a margin on both sides, at least `least` wide; (0, 1) without values."""
    found = [value for value in values if math.isfinite(value)]
    if not found:
        return 0.0, 1.0
    low, high = min(found), max(found)
    reach = max((high - low) * (1 + 2 * margin), least) / 2
    middle = (low + high) / 2
    return middle - reach, middle + reach


def count_decimals(marks: list[float]) -> int:
    """The number of decimals that makes the ticks distinct."""
    step = min((abs(after - before) for before, after in itertools.pairwise(marks)), default=1.0)
    return max(0, -math.floor(math.log10(step) + 1e-9))


def draw_vertical_grid(axis: Axis, top: float, bottom: float, texts: dict[float, str], size: float = 11) -> list[Mark]:
    """A light vertical line at each tick of a horizontal axis, and its text below."""
    lines = [make_line(axis.at(value), top, axis.at(value), bottom, "faint", 1) for value in texts]
    labels = [
        TextMark(x=axis.at(value), y=bottom + size + 4, text=text, ink="muted", anchor="middle", size=size)
        for value, text in texts.items()
    ]
    return [*lines, *labels]


def draw_horizontal_grid(
    axis: Axis, left: float, right: float, texts: dict[float, str], size: float = 11
) -> list[Mark]:
    """A light horizontal line at each tick of a vertical axis, and its text at the left."""
    lines = [make_line(left, axis.at(value), right, axis.at(value), "faint", 1) for value in texts]
    labels = [
        TextMark(x=left - 6, y=axis.at(value) + 0.35 * size, text=text, ink="muted", anchor="end", size=size)
        for value, text in texts.items()
    ]
    return [*lines, *labels]


def grid(
    across: Axis, upright: Axis, factor: float, most: int, texts: dict[float, str], size: float = 11
) -> list[Mark]:
    """Both grids: about `most` ticks of the vertical axis, its values times `factor`, and `texts` on the horizontal."""
    shown = upright.scaled(factor)
    heights = shown.compute_ticks(most)
    decimals = count_decimals(heights)
    return [
        *draw_horizontal_grid(
            shown, across.begin, across.end, {value: f"{value:.{decimals}f}" for value in heights}, size
        ),
        *draw_vertical_grid(across, upright.end, upright.begin, texts, size),
    ]


def whole_ticks(axis: Axis, most: int) -> dict[float, str]:
    """The text of each tick at a whole number from 0."""
    return {place: f"{place:.0f}" for place in axis.compute_ticks(max(2, most)) if place == round(place) and place >= 0}
