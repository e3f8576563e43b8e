"""A table in one test: all rows are tried, those that fail are named, and fixtures come as ever."""

from pathlib import Path

import pytest

from tests.rows import each_row


def test_all_rows_are_tried_and_those_that_fail_are_named() -> None:
    tried = []

    @each_row("name, number", {"a": 1, "b": 2, "c": 3}.items())
    def check(name: str, number: int) -> None:
        tried.append(name)
        assert number % 2 == 0, "odd"

    with pytest.raises(AssertionError, match=r"2 of 3 rows:\na, 1: .*odd.*\nc, 3: .*odd") as caught:
        check()
    assert tried == ["a", "b", "c"] and isinstance(caught.value.__cause__, AssertionError)


@each_row("number", [1, 2])
def test_rows_share_the_fixtures_of_their_test(number: int, tmp_path: Path) -> None:
    (tmp_path / str(number)).touch()
    assert len(list(tmp_path.iterdir())) == number
