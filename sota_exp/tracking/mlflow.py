"""Tracking in MLflow while a run trains.

A separate process reads the files of the run and sends what is new, so that neither the import of MLflow (2 s) nor a
slow or dead server slows training down. What could not be sent is still in the files; `sota-exp sync` sends it.
"""

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from sota_exp.report.terminal import shorten_path
from sota_exp.runs.mlflow_store import (
    URI_SCHEMES,
    build_mlflow_environment,
    find_connection_problem,
    format_dashboard_command,
    is_http_uri,
    is_supported_uri,
    mask_passwords,
    resolve_uri,
)
from sota_exp.runs.sent_position import SentPosition, read_origin
from sota_exp.stages.stage import Legal, NonNegative
from sota_exp.stages.tracking import NoTracker, RunTracker, Tracking
from sota_exp.tracking.mlflow_process import ACCEPTED, DONE, UploadProcess, get_upload_process, keep_idle

#: Seconds at the end of a run: between two reads from the uploading process, in which the server must answer, and in
#: which it must accept something. A server that does not work may cost one second.
LOOK_SECONDS, ANSWER_SECONDS, TAKE_SECONDS = 0.1, 0.6, 0.7


@dataclass(frozen=True, kw_only=True)
class MLflow(Tracking):
    """Logs runs to MLflow. uri: None for the default. system_interval, timeout, patience: seconds."""

    uri: Annotated[str, Legal(is_supported_uri, f"an MLflow tracking URI; schemes {', '.join(URI_SCHEMES)}")] | None
    experiment: Annotated[str, Legal(lambda value: bool(value.strip()), "a name")]
    log_model: bool
    system_metrics: bool
    system_interval: Annotated[float, Legal(lambda value: value >= 1, "seconds, at least 1")]
    timeout: Annotated[int, Legal(lambda value: value >= 1, "seconds, at least 1")]
    retries: Annotated[int, Legal(lambda value: 0 <= value <= 10, "a count in [0, 10]")]
    patience: NonNegative

    def follow(self, directory: Path) -> RunTracker:
        uri = resolve_uri(self.uri, Path.cwd())
        try:
            position = SentPosition.read(directory).at(uri, self.experiment)
            position = position.with_origin(read_origin(directory, os.environ), self.log_model)
            position.write(directory)
            following = get_upload_process(build_mlflow_environment(uri, self.timeout, self.retries))
            following.follow(directory.resolve(), self.system_interval if self.system_metrics else 0.0)
            return MLflowFollower(following=following, directory=directory.resolve(), uri=uri, patience=self.patience)
        except Exception as error:  # An error of tracking must not stop a training.
            print(f"sota-exp: tracking did not start: {error}", file=sys.stderr)
            return NoTracker()


@dataclass(frozen=True, kw_only=True)
class MLflowFollower(RunTracker):
    """Waits at the end of a run until its uploading process has sent everything, at most `patience` seconds."""

    following: UploadProcess
    directory: Path
    uri: str
    patience: float

    def finish(self) -> str:
        self.following.tell("ended")
        last_took = time.monotonic()
        deadline = last_took + self.patience
        while (message := self.following.read_message(LOOK_SECONDS)) != DONE:
            now = time.monotonic()
            last_took = now if message == ACCEPTED else last_took
            if message is None and find_connection_problem(self.uri, ANSWER_SECONDS):
                self.following.detach()
                return format_notice(self.directory)
            if now > deadline or (is_http_uri(self.uri) and self.following.is_ready and now - last_took > TAKE_SECONDS):
                self.following.detach()
                return format_notice(self.directory, goes_on=True)
        keep_idle(self.following)
        return format_notice(self.directory)


def format_notice(directory: Path, goes_on: bool = False) -> str:
    """One line: where to see the run, or what is unsent and how to send it. goes_on: the process still sends."""
    position, path = SentPosition.read(directory), shorten_path(directory)
    if position.sent:
        dashboard = format_dashboard_command(position.uri, position.experiment)
        text = f"run {position.run_id}; see it with {dashboard}"
    elif goes_on and position.problem is None:
        text = f"{position.uri} is slow; sending continues in the background; if it fails, run sota-exp sync {path}"
    else:
        problem = position.problem or f"{position.uri} did not accept everything in time"
        text = f"not everything is sent ({problem}); nothing is lost, run sota-exp sync {path}"
    return mask_passwords(f"MLflow: {text}")


def format_notice_of_all(directory: Path) -> str:
    """One line: where to see the runs below `directory`, or how many are unsent; empty if none is tracked."""
    found = [path.parent for path in directory.rglob("tracking.json") if path.parent != directory]
    positions = [SentPosition.read(run) for run in found]
    if not positions:
        return ""
    if num_unsent := sum(not position.sent for position in positions):
        unsent = f"{num_unsent} of {len(found)} runs are not sent in full; nothing is lost"
        return f"MLflow: {unsent}, run sota-exp sync {shorten_path(directory)}"
    dashboard = format_dashboard_command(positions[0].uri, positions[0].experiment)
    return mask_passwords(f"MLflow: {len(found)} runs; see them with {dashboard}")
