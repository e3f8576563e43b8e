"""Experiment tracking: showing a run elsewhere, beside its own files."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from sota_exp.stages.stage import Stage


class RunTracker(ABC):
    """Copies a run to a tracking store while its directory is written."""

    @abstractmethod
    def finish(self) -> str:
        """Copy the rest after the run has ended, without waiting long; returns a message for the terminal, or ""."""


@dataclass(frozen=True, kw_only=True)
class Tracking(Stage):
    """Where runs are tracked beside their files.

    figures: whether the figures of a run are drawn into its directory when it has ended.
    """

    figures: bool

    @abstractmethod
    def follow(self, directory: Path) -> RunTracker:
        """Start copying what a run writes into `directory`; returns at once and never raises."""


@dataclass(frozen=True, kw_only=True)
class NoTracker(RunTracker):
    def finish(self) -> str:
        return ""


@dataclass(frozen=True, kw_only=True)
class NoTracking(Tracking):
    def follow(self, directory: Path) -> RunTracker:
        return NoTracker()
