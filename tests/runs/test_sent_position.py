"""The place in a run's files, and what went wrong there, in a line."""

import pytest

from sota_exp.errors import in_a_line


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("one\ntwo"), "ValueError: one"),
        (ValueError(), "ValueError"),
        (ValueError("word " * 100), f"ValueError: {'word ' * 23}…"),
    ],
)
def test_what_went_wrong_is_a_line_of_whole_words(error: Exception, expected: str) -> None:
    assert in_a_line(error) == expected
