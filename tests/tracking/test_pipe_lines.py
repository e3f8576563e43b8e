"""Lines of a stream: each is read, even if several arrive at once."""

import os

from sota_exp.tracking.pipe_lines import PipeLines


def test_lines_that_come_together_are_heard_one_by_one() -> None:
    """Start and end of a short run are in one buffer, of which `select` reports only the first read."""
    reading, writing = os.pipe()
    lines = PipeLines(os.fdopen(reading))
    assert (lines.next(0.05), lines.num) == (None, 0)
    os.write(writing, b"one\ntwo\n")
    assert [lines.next(5), lines.next(5), lines.next(0.05)] == ["one\n", "two\n", None]
    os.close(writing)
    assert [lines.next(5), lines.next(5)] == ["", ""]
    assert (lines.num, lines.stream.closed) == (2, True)
