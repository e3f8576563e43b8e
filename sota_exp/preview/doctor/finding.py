"""The result of one check of this machine: its state, a sentence and, where something is wrong, the fix."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """What a check found (`message`), and the fix (`fix`). A problem makes runs fail, a note does not."""

    state: Literal["ok", "note", "problem"]
    message: str
    fix: str = ""


def build_ok(message: str) -> CheckResult:
    return CheckResult(state="ok", message=message)


def build_note(message: str, fix: str) -> CheckResult:
    return CheckResult(state="note", message=message, fix=fix)


def build_problem(message: str, fix: str) -> CheckResult:
    return CheckResult(state="problem", message=message, fix=fix)
