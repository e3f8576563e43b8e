"""Names from outside never reach a terminal with control characters, and names of every language stay as they are."""

import logging
import os

from sota_exp.config.printable import PrintableFormatter, is_utf8, make_printable
from sota_exp.report.terminal import escape
from tests.rows import each_row

NAMES = {
    "line\nbreak\ttab": r"line\nbreak\ttab",
    "\x1b[31mred\x07": r"\x1b[31mred\x07",
    os.fsdecode(b"non\xffutf8"): r"non\xffutf8",
    "c1\x9b": r"c1\x9b",
    "turned\u202eback": r"turned\u202eback",
    "lines\u2028apart": r"lines\u2028apart",
}
KEPT = ["עברית", "日本 語", "ü%$x{}#", "नमस्ते", "👩‍👩‍👧", "a b", "می‌خواهم", "back\\slash"]


@each_row("name, shown", [*NAMES.items(), *((name, name) for name in KEPT)])
def test_names(name, shown):
    assert make_printable(name) == shown
    shown.encode()


def test_markup_and_log_messages():
    assert escape("[bold]\x1b") == r"\[bold]\x1b"
    record = logging.LogRecord("x", logging.WARNING, "", 0, "a\x1bb\nc", (), None)
    assert PrintableFormatter("%(message)s").format(record) == "a\\x1bb\nc"


def test_bytes_of_other_encodings():
    assert is_utf8("ü日\n") and not is_utf8(os.fsdecode(b"\xff"))
