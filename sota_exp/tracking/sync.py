"""Find runs on disk, and read whether they are tracked and sent to MLflow."""

from collections.abc import Iterator
from pathlib import Path

from sota_exp.runs.contents import read_tracking_values
from sota_exp.runs.sent_position import SentPosition, get_file_stamp

#: Directories that are searched when none is given.
DEFAULT_DIRECTORIES = ("outputs", "multirun")


def find_runs(places: list[Path]) -> Iterator[Path]:
    """Every run directory below the given directories, sorted."""
    for place in places:
        yield from sorted(path.parent for path in place.rglob("config.yaml") if path.parent.name != ".hydra")


def is_tracked(directory: Path) -> bool:
    """Whether the configuration of the run chooses MLflow, or the run was sent before."""
    return "experiment" in read_tracking_values(directory) or bool(SentPosition.read(directory).uri)


def is_sent(directory: Path) -> bool:
    """Whether `tracking.json` says that everything of the run was sent."""
    return SentPosition.read(directory).sent == (get_file_stamp(directory / "result.json") or "killed")
