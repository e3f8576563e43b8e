"""Where runs are shown beside their files."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from sota_exp.stages.stage import Stage


class Follower(ABC):
    """Whoever shows a run elsewhere while its directory is written."""

    @abstractmethod
    def finish(self) -> str:
        """The run has ended and its files are complete: show the rest, without waiting long; what to tell a person, or ""."""


@dataclass(frozen=True, kw_only=True)
class Tracking(Stage):
    """Where runs are shown beside their files.

    figures: draw the pictures of a run into its directory when it has ended.
    """

    figures: bool

    @property
    @abstractmethod
    def label(self) -> str:
        """Where to look, in words."""

    @abstractmethod
    def follow(self, directory: Path) -> Follower:
        """Begin to show what a run writes into `directory`; returns at once and never raises."""


@dataclass(frozen=True, kw_only=True)
class NoFollower(Follower):
    """Shows nothing."""

    def finish(self) -> str:
        return ""


@dataclass(frozen=True, kw_only=True)
class NoTracking(Tracking):
    """Keeps runs in files only."""

    @property
    def label(self) -> str:
        return "files only"

    def follow(self, directory: Path) -> Follower:
        return NoFollower()
