"""Start, reuse and end the uploading processes (`mlflow_follow`) of a training.

Importing MLflow takes seconds, so a process that has sent a run is kept for the next run with the same settings. It
ends when its standard input ends, that is when the training process ends for any reason.
"""

import atexit
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sota_exp import PACKAGE
from sota_exp.tracking.pipe_lines import PipeLines

#: Messages of the process: all imports are done, the store accepted something, the run is sent in full.
READY, ACCEPTED, DONE = "ready", "took", "done"


@dataclass(frozen=True, kw_only=True)
class UploadProcess:
    """A process that reads a directory, then `ended`, and answers `done`. settings: MLflow's environment variables."""

    process: "subprocess.Popen[str]"
    settings: Mapping[str, str]
    messages: PipeLines

    def tell(self, line: str) -> None:
        """Write a line to the process, unless it has ended."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.write(f"{line}\n")
            self.process.stdin.flush()

    def follow(self, directory: Path, system_interval: float) -> None:
        """Start to send a run. system_interval: seconds between two system metrics, 0 for none."""
        self.tell(json.dumps({"directory": str(directory), "system_interval": system_interval}))

    @property
    def is_ready(self) -> bool:
        """Whether all imports are done: from then on the process can only wait for the store."""
        return self.messages.num > 0

    def read_message(self, seconds: float) -> str | None:
        """The next message; `done` also if the process has ended; None if there is none within `seconds`."""
        line = self.messages.next(seconds)
        return None if line is None else line.strip() or DONE

    def close(self) -> None:
        """Wait up to 5 s for an idle process to end, then kill it."""
        self._close_input()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def detach(self) -> None:
        """Wait no longer: the process sends what it can, even after this one has ended, then ends."""
        self._close_input()
        _left[:] = [process for process in [*_left, self.process] if process.poll() is None]

    def _close_input(self) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()


_idle: list[UploadProcess] = []

#: Kept while they run, because Python warns about a Popen object that is deleted before its process has ended.
_left: "list[subprocess.Popen[str]]" = []


def get_upload_process(settings: Mapping[str, str]) -> UploadProcess:
    """Return an idle process with these settings, or start one.

    It has its own session, so that Ctrl-C in the terminal reaches only the training.
    """
    while _idle:
        kept = _idle.pop()
        if kept.settings == settings and kept.process.poll() is None:
            return kept
        kept.close()
    process = start_process(settings)
    assert process.stdout is not None
    return UploadProcess(process=process, settings=settings, messages=PipeLines(process.stdout))


def start_process(settings: Mapping[str, str]) -> "subprocess.Popen[str]":
    """Start `mlflow_follow` with pipes for its input and its messages. settings: MLflow's environment variables."""
    paths = os.pathsep.join(filter(None, [str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")]))
    return subprocess.Popen(
        [sys.executable, "-m", "sota_exp.tracking.mlflow_follow"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=os.environ | settings | {"PYTHONPATH": paths},
        text=True,
    )


def keep_idle(following: UploadProcess) -> None:
    """Keep an idle process for the next run."""
    _idle.append(following)


@atexit.register
def close_idle() -> None:
    """End the idle processes."""
    while _idle:
        _idle.pop().close()
