"""A curve in a terminal: filled columns of block characters, with eight levels per line."""

import math
from collections.abc import Sequence

#: From empty to full in eighths of a line.
BLOCKS = " ▁▂▃▄▅▆▇█"


def format_block_columns(values: Sequence[float], height: int) -> list[str]:
    """`height` lines from top to bottom, one column per value; the largest value fills its column.

    A value above 0 is always visible.

    Raises:
        ValueError: a value is negative or not finite.
    """
    if any(not math.isfinite(value) or value < 0 for value in values):
        raise ValueError("only finite values from 0 can be drawn")
    most = max(values, default=0) or 1.0
    levels = [max(round(value / most * height * 8), 1 if value > 0 else 0) for value in values]
    return ["".join(BLOCKS[min(max(level - line * 8, 0), 8)] for level in levels) for line in reversed(range(height))]


def format_curve_with_axes(values: Sequence[float], height: int, last: str) -> list[str]:
    """The curve with its largest value at the vertical axis and `last` at the right end of the horizontal axis."""
    lines = format_block_columns(values, height)
    most = f"{max(values, default=0):.2g}"
    margin = max(len(most), 1)
    labels = [most, *[""] * (height - 2), "0"]
    drawn = [f"{label:>{margin}} ┤{line}" for label, line in zip(labels, lines, strict=True)]
    axis = f"{'':>{margin}} └{'─' * len(values)}"
    return [*drawn, axis, f"{'':>{margin}}  0{last:>{max(len(values) - 1, len(last) + 1)}}"]
