"""The processes that follow runs, from the side of the training: one serves all runs that are trained one after the other.

To import MLflow takes seconds, so a process that has shown a run to its end is kept for the next run with the same settings. It
ends when its standard input does, which is when the training process ends, however that comes about.
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
from sota_exp.tracking.pipe_lines import Lines

#: What the process says: that it has imported all it needs, that the store took something, that a run is shown to its end.
READY, TOOK, DONE = "ready", "took", "done"


@dataclass(frozen=True, kw_only=True)
class FollowingProcess:
    """A process that is told a directory, then `ended`, and answers `done`; `settings` are MLflow's variables in it."""

    process: "subprocess.Popen[str]"
    settings: Mapping[str, str]
    answers: Lines

    def tell(self, words: str) -> None:
        """Write a line to it; a process that is gone is not told."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.write(f"{words}\n")
            self.process.stdin.flush()

    def follow(self, directory: Path, system_interval: float) -> None:
        """Begin with a run's directory; 0 for `system_interval` takes no samples of the machine."""
        self.tell(json.dumps({"directory": str(directory), "system_interval": system_interval}))

    @property
    def is_ready(self) -> bool:
        """Whether it has imported what it needs: from then on it is the store that it waits for."""
        return self.answers.num > 0

    def says(self, seconds: float) -> str | None:
        """Its next word, `done` too where it is gone; None where it says nothing within `seconds`."""
        line = self.answers.next(seconds)
        return None if line is None else line.strip() or DONE

    def close(self) -> None:
        """Let an idle process end by itself, or end it: it has nothing left to do."""
        self._hang_up()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def leave(self) -> None:
        """Wait no longer: it sends what it can, though this process may have ended, then ends by itself."""
        self._hang_up()
        _left.append(self.process)

    def _hang_up(self) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()


_idle: list[FollowingProcess] = []

#: Kept, since Python complains of a process that it forgets while it runs.
_left: "list[subprocess.Popen[str]]" = []


def following_process(settings: Mapping[str, str]) -> FollowingProcess:
    """An idle process with these settings, or a new one."""
    while _idle:
        kept = _idle.pop()
        if kept.settings == settings and kept.process.poll() is None:
            return kept
        kept.close()
    return _started(settings)


def keep(following: FollowingProcess) -> None:
    """Its run has ended and it is idle: the next run may have it."""
    _idle.append(following)


@atexit.register
def close_idle() -> None:
    """End the idle processes."""
    while _idle:
        _idle.pop().close()


def _started(settings: Mapping[str, str]) -> FollowingProcess:
    """A new process, in a session of its own: Ctrl-C in the terminal is for training, which then tells it."""
    paths = os.pathsep.join(filter(None, [str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")]))
    process = subprocess.Popen(
        [sys.executable, "-m", "sota_exp.tracking.mlflow_follow"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=os.environ | settings | {"PYTHONPATH": paths},
        text=True,
    )
    assert process.stdout is not None
    return FollowingProcess(process=process, settings=settings, answers=Lines(process.stdout))
