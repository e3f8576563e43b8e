"""The terminal: its console, how much is printed there, and how paths are. Imports rich inside functions alone."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sota_exp.config.printable import make_printable
from sota_exp.report.document.markdown import Strong

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table as RichTable

    from sota_exp.report.document.markdown import Table

#: What consoles print: everything, the progress of what takes long, or nothing.
EVERYTHING, PROGRESS, NOTHING = "everything", "progress", "nothing"

_printed = EVERYTHING


@contextmanager
def limited_output(printed: str) -> Iterator[None]:
    """While entered, the consoles that are made print `EVERYTHING`, `PROGRESS` or `NOTHING`."""
    global _printed
    before, _printed = _printed, printed
    try:
        yield
    finally:
        _printed = before


def make_console(is_progress: bool = False) -> "Console":
    """A console on standard output; in a pipe or file of $COLUMNS or 120 columns, so that logs do not wrap.

    is_progress: what it prints is the progress of a command.
    """
    from rich.console import Console

    is_sized = sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdecimal()
    is_shown = _printed == EVERYTHING or (is_progress and _printed == PROGRESS)
    return Console(width=None if is_sized else 120, highlight=False, quiet=not is_shown)


def join_what_fits(parts: Mapping[str, str], less: Sequence[str], width: int) -> str:
    """A line of the parts that say something, in a narrow terminal without those of `less`, the first one first."""
    from rich.cells import cell_len

    line = ""
    for num in range(len(less) + 1):
        line = "  ".join(text for name, text in parts.items() if text and name not in less[:num])
        if cell_len(line) <= width:
            break
    return line


def shorten_path(directory: Path) -> Path:
    """The path relative to the working directory if it is below it, else unchanged."""
    return Path(os.path.relpath(directory)) if directory.is_relative_to(Path.cwd()) else directory


def indent(text: str, style: str = "dim") -> "RenderableType":
    """A text that may be longer than a line, two columns to the right."""
    from rich.padding import Padding
    from rich.text import Text

    return Padding(Text(make_printable(text), style), (0, 0, 0, 2), expand=False)


def make_facts() -> "RichTable":
    """A table of names and facts; a path or class that is too long is wrapped."""
    from rich.table import Table

    facts = Table.grid(padding=(0, 2))
    facts.add_column(no_wrap=True)
    facts.add_column(overflow="fold")
    return facts


def format_next(lines: Sequence[str]) -> "list[RenderableType]":
    """What would decide the open questions, under its heading; nothing without lines."""
    if not lines:
        return []
    return ["", "[bold]What next[/]", *(indent(line, style="") for line in lines)]


def escape(text: str) -> str:
    """Text from outside, such as a path or a class name, for a console: without markup and control characters."""
    from rich import markup

    return markup.escape(make_printable(text))


def to_rich(table: "Table") -> "RichTable":
    """A table of a page for the terminal."""
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for index, name in enumerate(table.names):
        is_number = table.is_number(index)
        style, is_whole = "" if index else "cyan", is_number or not index
        drawn.add_column(name, style=style, justify="right" if is_number else "left", no_wrap=is_whole, overflow="fold")
    for row in table.rows:
        drawn.add_row(*(Text(make_printable(cell), "bold" if isinstance(cell, Strong) else "") for cell in row))
    return drawn
