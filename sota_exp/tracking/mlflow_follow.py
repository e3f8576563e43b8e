"""The process that follows the files of one run after another and sends what is new. Started by a training; ends with it.

Standard input names a run in a line of JSON, then says `ended` when its files are complete, which is answered with `done`. The end of
the input in between means that the training was killed. `ready` says that all is imported, `took` that the store took something.
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

from sota_exp.errors import in_a_line
from sota_exp.runs.contents import Content
from sota_exp.runs.mlflow_store import unanswered
from sota_exp.runs.sent_position import Position, stamp
from sota_exp.tracking.mlflow_process import DONE, READY, TOOK
from sota_exp.tracking.pipe_lines import Lines

if TYPE_CHECKING:
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

#: Seconds between two looks at the files, and between two tries at a server that failed.
LOOK_SECONDS, RETRY_SECONDS = 0.25, 10.0

#: Seconds in which a server must answer; long, for nobody waits here, and one just started took 5 s over its first answer.
PROBE_SECONDS = 10.0

#: A run without news is sent this often, in seconds: so other hosts know that it lives, and a server is tried again.
REFRESH_SECONDS = 30.0


class Following:
    """What the process knows between two looks; 0 for `system_interval` takes no samples of the machine."""

    def __init__(self, directory: Path, system_interval: float, say: Callable[[str], None]) -> None:
        self.directory = directory
        self.system_interval = system_interval
        self.say = say
        self.monitor: SystemMetricsMonitor | None = None
        self.upload: object = None
        self.seen: object = None
        self.sent_at = self.failed_at = float("-inf")

    def due(self) -> bool:
        """Something is new, or old news waits since a failure."""
        now = time.monotonic()
        if now - self.failed_at < RETRY_SECONDS:
            return False
        files = (stamp(self.directory / "config.yaml"), stamp(self.directory / "start.json"))
        seen = (*files, stamp(self.directory / "metrics.jsonl"))
        if all(files) and (seen != self.seen or now - self.sent_at > REFRESH_SECONDS):
            self.seen = seen
            return True
        return False

    def send(self) -> None:
        """One try; a failure is remembered in the position and tried again later."""
        try:
            self._send()
            self.sent_at = time.monotonic()
        except Exception as error:
            traceback.print_exc()
            self._remember(in_a_line(error))

    def _send(self) -> None:
        position = Position.read(self.directory)
        if reason := unanswered(position.uri, PROBE_SECONDS):
            self._remember(reason)
            return
        from sota_exp.tracking.mlflow_upload import Upload

        if not isinstance(self.upload, Upload):
            self.say(READY)
            self.upload = Upload.open(position, lambda: self.say(TOOK))
        content = Content.read(self.directory, position.origin)
        self.upload.send(content)
        if self.monitor is None and self.system_interval and content.status == "RUNNING":
            self.watch_machine()

    def watch_machine(self) -> None:
        """MLflow's own samples of the machine, from a thread of its own, after those that the run has; not where it can't."""
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        position, interval = Position.read(self.directory), self.system_interval
        try:
            self.monitor = SystemMetricsMonitor(
                position.run_id, sampling_interval=interval, resume_logging=True, tracking_uri=position.uri
            )
            self.monitor.start()
        except Exception:
            traceback.print_exc()
            self.system_interval = 0.0

    def rest(self) -> None:
        """Watch the machine no longer: the run has ended, or MLflow's samples have, as they do when a server fails."""
        if self.monitor is not None:
            self.monitor.finish()
            self.monitor = None

    def _remember(self, problem: str) -> None:
        self.failed_at, self.seen, self.upload = time.monotonic(), None, None
        replace(Position.read(self.directory), problem=problem).write(self.directory)
        self.rest()


def follow(directory: Path, system_interval: float, words: Lines, say: Callable[[str], None]) -> None:
    """Until the run has ended, then send what is left, once."""
    following = Following(directory, system_interval, say)
    while words.next(LOOK_SECONDS) is None:
        if following.due():
            following.send()
    following.send()
    say(DONE)
    following.rest()


def speak_into(path: Path) -> None:
    """From now on what this process says, and what libraries print, goes to the end of a file."""
    with path.open("ab") as log:
        os.dup2(log.fileno(), sys.stdout.fileno())
        os.dup2(log.fileno(), sys.stderr.fileno())


def main() -> None:
    """Follow every run that is named, until there is nobody to name one."""
    if sys.platform != "win32":
        os.nice(10)  # Training has the processor; this process takes what is left of it.
    answer = os.dup(sys.stdout.fileno())

    def say(word: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # Of a training that was killed, or that waits no longer.
            os.write(answer, f"{word}\n".encode())

    words = Lines(sys.stdin)
    while line := words.next():
        named = json.loads(line)
        speak_into(Path(named["directory"]) / "tracking.log")
        follow(Path(named["directory"]), named["system_interval"], words, say)


if __name__ == "__main__":
    main()
