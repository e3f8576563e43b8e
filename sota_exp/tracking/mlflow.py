"""MLflow: shows every run in an MLflow store while it trains.

A process of its own follows the files of the run and sends what is new, so that neither MLflow's import (two seconds) nor a
slow or dead server costs training anything; what could not be sent is still in the files, for `sota-exp sync`.
"""

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from sota_exp.runs.mlflow_store import (
    SCHEMES,
    answers,
    dashboard_of,
    environment,
    is_legal,
    is_served,
    masked,
    resolved,
)
from sota_exp.runs.sent_position import Position, origin_of
from sota_exp.stages.stage import require
from sota_exp.stages.tracking import Follower, NoFollower, Tracking
from sota_exp.tracking.mlflow_process import DONE, TOOK, FollowingProcess, following_process, keep

#: Seconds between two looks at the following process at the end of a run, in which its server must answer in between, and
#: in which it must take something: a server of no use may cost a second.
LOOK_SECONDS, ANSWER_SECONDS, TAKE_SECONDS = 0.1, 0.6, 0.7


@dataclass(frozen=True, kw_only=True)
class MLflow(Tracking):
    """Shows runs in MLflow."""

    uri: str | None
    experiment: str
    log_model: bool
    system_metrics: bool
    system_interval: float
    timeout: int
    retries: int
    patience: float

    def __post_init__(self) -> None:
        legal = self.uri is None or is_legal(self.uri)
        require(
            legal, "uri", self.uri, f"null, or an MLflow tracking URI such as http://host:5000, by {', '.join(SCHEMES)}"
        )
        require(bool(self.experiment.strip()), "experiment", self.experiment, "a name")
        require(self.system_interval >= 1, "system_interval", self.system_interval, "seconds, at least 1")
        require(self.timeout >= 1, "timeout", self.timeout, "seconds, at least 1")
        require(0 <= self.retries <= 10, "retries", self.retries, "a count in [0, 10]")
        require(self.patience >= 0, "patience", self.patience, "seconds, at least 0")

    @property
    def label(self) -> str:
        return f"MLflow, experiment {self.experiment} in {masked(resolved(self.uri, Path.cwd()))}"

    def follow(self, directory: Path) -> Follower:
        uri = resolved(self.uri, Path.cwd())
        try:
            position = Position.read(directory).at(uri, self.experiment)
            position = position.asked(origin_of(directory, os.environ), self.log_model)
            position.write(directory)
            return _started(self, directory.resolve(), uri)
        except Exception as error:  # Tracking never ends what it shows.
            print(f"sota-exp: tracking did not start: {error}", file=sys.stderr)
            return NoFollower()


def _started(tracking: MLflow, directory: Path, uri: str) -> Follower:
    """A process that has begun to follow."""
    following = following_process(environment(tracking.timeout, tracking.retries))
    following.follow(directory, tracking.system_interval if tracking.system_metrics else 0.0)
    return ProcessFollower(following=following, directory=directory, uri=uri, patience=tracking.patience)


@dataclass(frozen=True, kw_only=True)
class ProcessFollower(Follower):
    """A run's directory and the process that follows it."""

    following: FollowingProcess
    directory: Path
    uri: str
    patience: float

    def finish(self) -> str:
        self.following.tell("ended")
        last = time.monotonic()
        deadline = last + self.patience
        while (word := self.following.says(LOOK_SECONDS)) != DONE:
            now = time.monotonic()
            last = now if word == TOOK else last
            if word is None and not answers(self.uri, ANSWER_SECONDS):
                self.following.leave()
                return notice(self.directory)
            if now > deadline or (is_served(self.uri) and self.following.is_ready and now - last > TAKE_SECONDS):
                self.following.leave()
                return notice(self.directory, goes_on=True)
        keep(self.following)
        return notice(self.directory)


def notice(directory: Path, goes_on: bool = False) -> str:
    """One line on where the run is shown, or on what is unsent and how to send it; `goes_on`: though nobody waits for it."""
    position = Position.read(directory)
    shown = os.path.relpath(directory) if directory.is_relative_to(Path.cwd()) else directory
    if position.sent:
        return masked(f"MLflow: run {position.run_id}; see it with {dashboard_of(position.uri, position.experiment)}")
    if goes_on and position.problem is None:
        return masked(
            f"MLflow: {position.uri} is slow and is still being sent to; should that fail: sota-exp sync {shown}"
        )
    problem = position.problem or f"{position.uri} did not take everything in time"
    return masked(f"MLflow: not everything is sent ({problem}); nothing is lost: sota-exp sync {shown}")


def notice_of_all(directory: Path) -> str:
    """One line on where the runs below `directory` are shown, or on how many are unsent; empty where none is tracked."""
    found = [path.parent for path in directory.rglob("tracking.json") if path.parent != directory]
    positions = [Position.read(run) for run in found]
    if not positions:
        return ""
    num_unsent = sum(not position.sent for position in positions)
    if num_unsent:
        shown = os.path.relpath(directory)
        return f"MLflow: {num_unsent} of {len(found)} runs are not sent in full; nothing is lost: sota-exp sync {shown}"
    return masked(f"MLflow: {len(found)} runs; see them with {dashboard_of(positions[0].uri, positions[0].experiment)}")
