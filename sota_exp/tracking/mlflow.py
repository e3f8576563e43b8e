"""Tracking in MLflow while a run trains.

A separate process reads the files of the run and sends what is new, so that neither the import of MLflow (2 s) nor a
slow or dead server slows training down. What could not be sent is still in the files; `sota-exp sync` sends it.
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

#: Seconds at the end of a run: between two reads from the uploading process, in which the server must answer, and in
#: which it must accept something. A server that does not work may cost one second.
LOOK_SECONDS, ANSWER_SECONDS, TAKE_SECONDS = 0.1, 0.6, 0.7


@dataclass(frozen=True, kw_only=True)
class MLflow(Tracking):
    """Logs runs to MLflow. uri: None for the default. system_interval, timeout, patience: seconds."""

    uri: str | None
    experiment: str
    log_model: bool
    system_metrics: bool
    system_interval: float
    timeout: int
    retries: int
    patience: float

    def __post_init__(self) -> None:
        legal = f"null, or an MLflow tracking URI such as http://host:5000; schemes {', '.join(SCHEMES)}"
        require(self.uri is None or is_legal(self.uri), "uri", self.uri, legal)
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
            following = following_process(environment(self.timeout, self.retries))
            following.follow(directory.resolve(), self.system_interval if self.system_metrics else 0.0)
            return ProcessFollower(following=following, directory=directory.resolve(), uri=uri, patience=self.patience)
        except Exception as error:  # An error of tracking must not stop a training.
            print(f"sota-exp: tracking did not start: {error}", file=sys.stderr)
            return NoFollower()


@dataclass(frozen=True, kw_only=True)
class ProcessFollower(Follower):
    """Waits at the end of a run until its uploading process has sent everything, at most `patience` seconds."""

    following: FollowingProcess
    directory: Path
    uri: str
    patience: float

    def finish(self) -> str:
        self.following.tell("ended")
        last_took = time.monotonic()
        deadline = last_took + self.patience
        while (message := self.following.says(LOOK_SECONDS)) != DONE:
            now = time.monotonic()
            last_took = now if message == TOOK else last_took
            if message is None and not answers(self.uri, ANSWER_SECONDS):
                self.following.leave()
                return notice(self.directory)
            if now > deadline or (is_served(self.uri) and self.following.is_ready and now - last_took > TAKE_SECONDS):
                self.following.leave()
                return notice(self.directory, goes_on=True)
        keep(self.following)
        return notice(self.directory)


def notice(directory: Path, goes_on: bool = False) -> str:
    """One line: where to see the run, or what is unsent and how to send it. goes_on: the process still sends."""
    position = Position.read(directory)
    path = os.path.relpath(directory) if directory.is_relative_to(Path.cwd()) else directory
    if position.sent:
        return masked(f"MLflow: run {position.run_id}; see it with {dashboard_of(position.uri, position.experiment)}")
    if goes_on and position.problem is None:
        return masked(
            f"MLflow: {position.uri} is slow; sending continues in the background; "
            f"if it fails, run sota-exp sync {path}"
        )
    problem = position.problem or f"{position.uri} did not accept everything in time"
    return masked(f"MLflow: not everything is sent ({problem}); nothing is lost, run sota-exp sync {path}")


def notice_of_all(directory: Path) -> str:
    """One line: where to see the runs below `directory`, or how many are unsent; empty if none is tracked."""
    found = [path.parent for path in directory.rglob("tracking.json") if path.parent != directory]
    positions = [Position.read(run) for run in found]
    if not positions:
        return ""
    num_unsent = sum(not position.sent for position in positions)
    if num_unsent:
        path = os.path.relpath(directory)
        return (
            f"MLflow: {num_unsent} of {len(found)} runs are not sent in full; nothing is lost, run sota-exp sync {path}"
        )
    return masked(f"MLflow: {len(found)} runs; see them with {dashboard_of(positions[0].uri, positions[0].experiment)}")
