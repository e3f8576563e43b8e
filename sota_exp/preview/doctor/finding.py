"""What a check of this machine finds: a word, a sentence and, where something is wrong, its mend."""

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "problem"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at. A note is worth knowing; a problem would make a run fail, and `mend` says what helps."""

    name: str
    state: State
    said: str
    mend: str = ""


def ok(name: str, said: str) -> Finding:
    return Finding(name=name, state="ok", said=said)


def note(name: str, said: str, mend: str = "") -> Finding:
    return Finding(name=name, state="note", said=said, mend=mend)


def problem(name: str, said: str, mend: str) -> Finding:
    return Finding(name=name, state="problem", said=said, mend=mend)


def in_bytes(num: float) -> str:
    """`812 MB`, `1.4 GB`: powers of ten, as disks are sold."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if num >= size:
            return f"{num / size:,.1f} {unit}" if num < 10 * size else f"{num / size:,.0f} {unit}"
    return f"{num:.0f} bytes"
