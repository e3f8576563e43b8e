"""Which log messages appear on the terminal: those about data, weights and training once per command of many runs.

`run.log` of every run has them all; `conf/hydra/job_logging` uses the filter.
"""

import logging
import sys
from typing import Any

#: Loggers whose messages are about what all runs of a command share.
SHARED = ("sota_exp.data.", "sota_exp.models.", "sota_exp.training.")

_shown: set[tuple[str, str]] = set()


def forget_shown_messages() -> None:
    """Begin a command: every message may be shown again."""
    _shown.clear()


class OncePerCommand(logging.Filter):
    """Drops a message about data, weights or training that the terminal has shown in this command."""

    def filter(self, record: logging.LogRecord) -> bool:
        key = record.name, record.getMessage()
        if not record.name.startswith(SHARED):
            return True
        is_new = key not in _shown
        _shown.add(key)
        return is_new


class TerminalHandler(logging.StreamHandler[Any]):
    """Writes to a stream, on a terminal above the bar of rich, which replaces `sys.stderr` while it is shown."""

    def emit(self, record: logging.LogRecord) -> None:
        if not self.stream.closed and self.stream.isatty():
            self.setStream(sys.stderr)
        super().emit(record)
