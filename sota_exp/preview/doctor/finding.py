"""The result of one check of this machine: its state, a sentence and, where something is wrong, the fix."""

from dataclasses import dataclass
from typing import Literal

FindingState = Literal["ok", "note", "problem"]


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """What a check found (`message`), and the fix (`fix`). A problem makes runs fail, a note does not."""

    name: str
    state: FindingState
    message: str
    fix: str = ""


def build_ok(name: str, message: str) -> CheckResult:
    """A finding that nothing is wrong."""
    return CheckResult(name=name, state="ok", message=message)


def build_note(name: str, message: str, fix: str = "") -> CheckResult:
    """A finding that does not make runs fail."""
    return CheckResult(name=name, state="note", message=message, fix=fix)


def build_problem(name: str, message: str, fix: str) -> CheckResult:
    """A finding that makes runs fail."""
    return CheckResult(name=name, state="problem", message=message, fix=fix)


def format_bytes(num: float) -> str:
    """`812 MB`, `1.4 GB`: a number of bytes in decimal units."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if num >= size:
            return f"{num / size:,.1f} {unit}" if num < 10 * size else f"{num / size:,.0f} {unit}"
    return f"{num:.0f} bytes"
