"""Which runs are there to be sent to MLflow, and which of them were sent."""

from collections.abc import Iterator
from pathlib import Path

from sota_exp.runs.contents import tracking_of
from sota_exp.runs.sent_position import Position, stamp

#: Where runs are looked for when no directory is named.
PLACES = ("outputs", "multirun")


def found(places: list[Path]) -> Iterator[Path]:
    """Every run directory below the places, in order."""
    for place in places:
        yield from sorted(path.parent for path in place.rglob("config.yaml") if path.parent.name != ".hydra")


def is_tracked(directory: Path) -> bool:
    """Whether the run's configuration asks for MLflow, or it was sent somewhere before."""
    return "experiment" in tracking_of(directory) or bool(Position.read(directory).uri)


def is_sent(directory: Path) -> bool:
    """Whether all that the run wrote was sent, by its own word."""
    return Position.read(directory).sent == (stamp(directory / "result.json") or "killed")
