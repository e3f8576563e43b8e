"""The console: its width, and boxes in which no path or class is cut."""

import io
import sys

import pytest
from rich.console import Console

from sota_exp.report.terminal import make_console, make_facts


@pytest.mark.parametrize(("columns", "width"), [(None, 120), ("80", 80), ("200", 200), ("wide", 120)])
def test_output_that_is_no_terminal_has_the_width_that_columns_says(
    columns: str | None, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert make_console().width == width


@pytest.mark.parametrize("text", ["x" * 300, "/a/" + "long-folder/" * 30, "日本" * 90])
def test_a_long_fact_is_wrapped_whole(text: str) -> None:
    facts = make_facts()
    facts.add_row("without test images", text)
    out = Console(file=io.StringIO(), width=80)
    out.print(facts)
    printed = out.file.getvalue()  # type: ignore[attr-defined]
    assert "".join(printed.split()) == "withouttestimages" + text and "…" not in printed
