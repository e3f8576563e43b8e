"""The terminal: its console and how paths are printed there."""

import os
import sys
from pathlib import Path

from rich.console import Console


def make_console() -> Console:
    """A console on standard output, 120 columns wide if that is not a terminal, so that logs do not wrap."""
    return Console(width=None if sys.stdout.isatty() else 120, highlight=False)


def shorten_path(directory: Path) -> Path:
    """The path relative to the working directory if it is below it, else unchanged."""
    return Path(os.path.relpath(directory)) if directory.is_relative_to(Path.cwd()) else directory
