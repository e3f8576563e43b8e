"""Where words for a person go: standard output, and how wide it is."""

import sys

from rich.console import Console


def console() -> Console:
    """Standard output; 120 columns wide where it is not a terminal, so that logs do not wrap."""
    return Console(width=None if sys.stdout.isatty() else 120, highlight=False)
