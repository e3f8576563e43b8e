"""The terminal: its console and how paths are printed there."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich import markup
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.text import Text

from sota_exp.config.printable import make_printable


def make_console() -> Console:
    """A console on standard output; in a pipe or file of $COLUMNS or 120 columns, so that logs do not wrap."""
    is_sized = sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdecimal()
    return Console(width=None if is_sized else 120, highlight=False)


def shorten_path(directory: Path) -> Path:
    """The path relative to the working directory if it is below it, else unchanged."""
    return Path(os.path.relpath(directory)) if directory.is_relative_to(Path.cwd()) else directory


def format_next(lines: Sequence[str]) -> list[RenderableType]:
    """What would decide the open questions, under its heading; nothing without lines."""
    if not lines:
        return []
    shown = [Padding(Text(make_printable(line)), (0, 0, 0, 2), expand=False) for line in lines]
    return ["", Text("What next", style="bold"), *shown]


def escape(text: str) -> str:
    """Text from outside, such as a path or a class name, for a console: without markup and control characters."""
    return markup.escape(make_printable(text))
