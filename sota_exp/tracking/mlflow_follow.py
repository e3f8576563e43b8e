"""The uploading process: reads the files of one run after another and sends what is new to MLflow.

It is started by a training and ends with it. Standard input holds one line of JSON per run, then `ended` when the
files of the run are complete. If the input ends before that, the training was killed. The process answers `ready`
when all is imported, `took` when the store accepted something, and `done` when the run is sent.
"""

import contextlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sota_exp.config.credentials import reveal_credentials
from sota_exp.config.values import shorten_middle
from sota_exp.errors import in_a_line
from sota_exp.runs.contents import RunContent
from sota_exp.runs.mlflow_store import find_connection_problem, mask_passwords
from sota_exp.runs.sent_position import SentPosition, get_file_stamp
from sota_exp.tracking.mlflow_process import ACCEPTED, DONE, READY
from sota_exp.tracking.pipe_lines import PipeLines

if TYPE_CHECKING:
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

#: Seconds between two looks at the files, and between two attempts at a server that failed.
LOOK_SECONDS, RETRY_SECONDS = 0.25, 10.0

#: Longest traceback in tracking.log, in characters.
LONGEST_LOG = 10_000

#: Seconds in which a server must answer; long, because nothing waits here, and a server that just started took 5 s.
PROBE_SECONDS = 10.0

#: Seconds after which a run without news is sent again, so that other hosts see it alive and servers are retried.
REFRESH_SECONDS = 30.0


class RunUploader:
    """The upload of one run. system_interval: seconds between two system metrics, 0 for none."""

    def __init__(self, directory: Path, system_interval: float, say: Callable[[str], None]) -> None:
        self.directory = directory
        self.system_interval = system_interval
        self.say = say
        self.monitor: SystemMetricsMonitor | None = None
        self.upload: object = None
        self.seen: object = None
        self.logged = ""
        self.sent_at = self.failed_at = float("-inf")

    def is_due(self) -> bool:
        """Whether there is something to send: files changed, or an attempt failed a while ago."""
        now = time.monotonic()
        if now - self.failed_at < RETRY_SECONDS:
            return False
        files = (get_file_stamp(self.directory / "config.yaml"), get_file_stamp(self.directory / "start.json"))
        seen = (*files, get_file_stamp(self.directory / "metrics.jsonl"))
        if all(files) and (seen != self.seen or now - self.sent_at > REFRESH_SECONDS):
            self.seen = seen
            return True
        return False

    def send(self) -> None:
        """Try once to send what is new; a failure is written to `tracking.json` and retried later."""
        try:
            self._send()
            self.sent_at = time.monotonic()
        except Exception as error:
            self._log(in_a_line(error), traceback.format_exc())
            self._record_failure(mask_passwords(in_a_line(error)))

    def _log(self, problem: str, text: str) -> None:
        """Write a traceback, whose message may contain what a server answered, unless it was the last one."""
        if problem != self.logged:
            print(shorten_middle(mask_passwords(text), LONGEST_LOG), file=sys.stderr, flush=True)
        self.logged = problem

    def _send(self) -> None:
        position = SentPosition.read(self.directory)
        if reason := find_connection_problem(position.uri, PROBE_SECONDS):
            self._record_failure(reason)
            return
        from sota_exp.tracking.mlflow_upload import MLflowUpload

        if not isinstance(self.upload, MLflowUpload):
            self.say(READY)
            self.upload = MLflowUpload.open(position, lambda: self.say(ACCEPTED))
        content = RunContent.read(self.directory, position.origin)
        self.upload.send(content)
        if self.monitor is None and self.system_interval and content.status == "running":
            self.start_system_metrics()

    def start_system_metrics(self) -> None:
        """Start MLflow's thread for system metrics, which continues those of the run; an error is only logged."""
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        position, interval = SentPosition.read(self.directory), self.system_interval
        try:
            self.monitor = SystemMetricsMonitor(
                position.run_id,
                sampling_interval=interval,
                resume_logging=True,
                tracking_uri=reveal_credentials(position.uri),
            )
            self.monitor.start()
        except Exception as error:
            self._log(in_a_line(error), traceback.format_exc())
            self.system_interval = 0.0

    def stop_system_metrics(self) -> None:
        """Stop the system metrics: at the end of the run, or after a failure of the server, which ends them too."""
        if self.monitor is not None:
            self.monitor.finish()
            self.monitor = None

    def _record_failure(self, problem: str) -> None:
        self.failed_at, self.seen, self.upload = time.monotonic(), None, None
        replace(SentPosition.read(self.directory), problem=problem).write(self.directory)
        self.stop_system_metrics()


def upload_until_ended(directory: Path, system_interval: float, lines: PipeLines, say: Callable[[str], None]) -> None:
    """Send what is new until the run has ended, then send the rest once."""
    following = RunUploader(directory, system_interval, say)
    while lines.next(LOOK_SECONDS) is None:
        if following.is_due():
            following.send()
    following.send()
    say(DONE)
    following.stop_system_metrics()


def main() -> None:
    """Follow every run named on standard input, until it ends."""
    if sys.platform != "win32":
        os.nice(10)  # Training has priority.
    stdout = os.dup(sys.stdout.fileno())

    def say(message: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # The training was killed or waits no longer.
            os.write(stdout, f"{message}\n".encode())

    lines = PipeLines(sys.stdin)
    while line := lines.next():
        run = json.loads(line)
        directory = Path(run["directory"])
        with (directory / "tracking.log").open("ab") as log:
            os.dup2(log.fileno(), sys.stdout.fileno())
            os.dup2(log.fileno(), sys.stderr.fileno())
        upload_until_ended(directory, run["system_interval"], lines, say)


if __name__ == "__main__":
    main()
