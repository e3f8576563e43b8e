"""A curve of block characters: heights match values, the largest fills its column, values above 0 are visible."""

import math

import pytest

from sota_exp.preview.terminal_curve import BLOCKS, format_block_columns, format_curve_with_axes


def heights(lines: list[str]) -> list[int]:
    """Eighths in every column."""
    return [sum(BLOCKS.index(line[column]) for line in lines) for column in range(len(lines[0]))]


@pytest.mark.parametrize(
    ("values", "height", "expected"),
    [
        ([0, 1], 1, [0, 8]),
        ([1, 2, 4], 2, [4, 8, 16]),
        ([0.5, 0.5], 3, [24, 24]),
        ([0, 0], 2, [0, 0]),
        ([1e-9, 1], 4, [1, 32]),
        ([3, 8], 1, [3, 8]),
    ],
)
def test_columns_are_as_high_as_their_values(values, height, expected):
    lines = format_block_columns(values, height)
    assert len(lines) == height and heights(lines) == expected


def test_a_column_has_no_gap_from_the_bottom_up():
    lines = format_block_columns([math.sin(x / 9) ** 2 for x in range(60)], 5)
    for column in zip(*reversed(lines), strict=True):
        levels = [BLOCKS.index(sign) for sign in column]
        assert levels == sorted(levels, reverse=True) and sum(0 < level < 8 for level in levels) <= 1


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_what_cannot_be_drawn_is_refused(value):
    with pytest.raises(ValueError, match="finite values from 0"):
        format_block_columns([1.0, value], 3)


def test_axes_name_both_ends():
    lines = format_curve_with_axes([0.1, 0.2, 0.1] * 8, 4, "epoch 14")
    assert lines[0].startswith("0.2 ┤") and lines[3].startswith("  0 ┤") and lines[-1].endswith("epoch 14")
    assert len({len(line) for line in lines}) == 1
