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

from sota_exp.tracking.lines import Lines
from sota_exp.tracking.mlflow_content import Content
from sota_exp.tracking.mlflow_position import Position, in_a_line, stamp
from sota_exp.tracking.mlflow_process import DONE, READY, TOOK
from sota_exp.tracking.mlflow_store import unanswered
from sota_exp.tracking.mlflow_system import Sampler

#: Seconds between two looks at the files, and between two tries at a server that failed.
LOOK_SECONDS, RETRY_SECONDS = 0.25, 10.0

#: Seconds in which a server must answer; long, for nobody waits here, and one just started took 5 s over its first answer.
PROBE_SECONDS = 10.0

#: Samples of the system are sent this often when no epoch ends, in seconds.
REFRESH_SECONDS = 30.0


class Following:
    """What the process knows between two looks."""

    def __init__(self, directory: Path, say: Callable[[str], None]) -> None:
        self.directory = directory
        self.say = say
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
        self.upload.send(Content.read(self.directory, position.origin))

    def _remember(self, problem: str) -> None:
        self.failed_at, self.seen, self.upload = time.monotonic(), None, None
        replace(Position.read(self.directory), problem=problem).write(self.directory)


def follow(directory: Path, system_interval: float, words: Lines, say: Callable[[str], None]) -> None:
    """Until the run has ended, then send what is left, once."""
    sampler = Sampler(directory, system_interval, os.getppid()) if system_interval else None
    if sampler is not None:
        sampler.start()
    following = Following(directory, say)
    while words.next(LOOK_SECONDS) is None:
        if following.due():
            following.send()
    if sampler is not None:
        sampler.stop()
    following.send()


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
        say(DONE)


if __name__ == "__main__":
    main()
