"""Exceptions and their exit status: 2 for an error of the user, 1 for a run that failed."""

import textwrap


class ConfigError(Exception):
    """The configuration or the command is wrong: exit status 2."""


class RunFailed(Exception):
    """The run failed for a known reason (diverged, out of memory, unreadable data, disk full): exit status 1."""


class Interrupted(Exception):
    """A signal ended the run after its checkpoint was written: exit status 128 + the signal's number."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"interrupted by signal {signal_number}; repeat the command to go on")
        self.signal_number = signal_number


def first_line(error: BaseException) -> str:
    """What an exception says in its first line; its type's name where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def in_a_line(error: BaseException) -> str:
    """The error's type and first line, cut between two words where it is longer than a line."""
    name, line = type(error).__name__, first_line(error)
    return name if line == name else f"{name}: {textwrap.shorten(line, 120, placeholder=' …')}"
