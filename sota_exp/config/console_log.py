"""Which log messages appear on the terminal: those about data, weights and training once per command of many runs.

`run.log` of every run has them all; `conf/hydra/job_logging` uses the filter.
"""

import atexit
import hashlib
import logging
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

#: Loggers whose messages are about what all runs of a command share.
SHARED = ("sota_exp.data.", "sota_exp.models.", "sota_exp.preview.", "sota_exp.training.")

#: Names a folder with an empty file for each message that a process of the command has shown.
SHOWN_VARIABLE = "SOTA_EXP_SHOWN_MESSAGES"

_shown: set[str] = set()
_shared: list[TemporaryDirectory[str]] = []


def forget_shown_messages() -> None:
    """Begin a command: every message may be shown again."""
    _shown.clear()
    while _shared:
        os.environ.pop(SHOWN_VARIABLE, None)
        _shared.pop().cleanup()


def share_shown_messages() -> None:
    """Tell the processes that are started from now on, on this machine, which messages have been shown."""
    if _shared:
        return
    atexit.register(forget_shown_messages)
    _shared.append(TemporaryDirectory(prefix="sota_exp_", ignore_cleanup_errors=True))
    os.environ[SHOWN_VARIABLE] = _shared[0].name
    for key in _shown:
        (Path(_shared[0].name) / key).touch()


class OncePerCommand(logging.Filter):
    """Drops a message about data, weights or training that the terminal has shown in this command."""

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith(SHARED):
            return True
        key = hashlib.sha256(f"{record.name} {record.getMessage()}".encode(errors="replace")).hexdigest()
        is_new = key not in _shown and _is_first(key)
        _shown.add(key)
        return is_new


def _is_first(key: str) -> bool:
    """Whether no other process of the command has shown the message; true where they don't share a folder."""
    folder = os.environ.get(SHOWN_VARIABLE)
    try:
        if folder is not None:
            (Path(folder) / key).touch(exist_ok=False)
    except FileExistsError:
        return False
    except OSError:
        pass
    return True


class TerminalHandler(logging.StreamHandler[Any]):
    """Writes to a stream, on a terminal above the bar of rich, which replaces `sys.stderr` while it is shown."""

    def emit(self, record: logging.LogRecord) -> None:
        if not self.stream.closed and self.stream.isatty():
            self.setStream(sys.stderr)
        super().emit(record)
