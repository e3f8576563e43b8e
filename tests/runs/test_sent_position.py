"""The message of an error in one line."""

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
def test_a_message_is_one_line_of_whole_words(error: Exception, expected: str) -> None:
    assert in_a_line(error) == expected
