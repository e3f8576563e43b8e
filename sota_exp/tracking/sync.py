"""Reads whether runs are tracked and sent to MLflow."""

from pathlib import Path

from sota_exp.runs.contents import read_tracking_values
from sota_exp.runs.sent_position import SentPosition, get_file_stamp


def is_tracked(directory: Path) -> bool:
    """Whether the configuration of the run chooses MLflow, or the run was sent before."""
    return "experiment" in read_tracking_values(directory) or bool(SentPosition.read(directory).uri)


def is_sent(directory: Path) -> bool:
    """Whether `tracking.json` says that everything of the run was sent."""
    return SentPosition.read(directory).sent == (get_file_stamp(directory / "result.json") or "killed")
