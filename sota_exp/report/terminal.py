"""Where words for a person go: standard output, and how wide it is; and how places are said there."""

import os
import sys
from pathlib import Path

from rich.console import Console


def console() -> Console:
    """Standard output; 120 columns wide where it is not a terminal, so that logs do not wrap."""
    return Console(width=None if sys.stdout.isatty() else 120, highlight=False)


def shown(directory: Path) -> Path:
    """Relative to the working directory where it lies below it."""
    return Path(os.path.relpath(directory)) if directory.is_relative_to(Path.cwd()) else directory
