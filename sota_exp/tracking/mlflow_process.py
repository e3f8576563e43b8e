"""The processes that follow runs, from the side of the training: one serves all runs that are trained one after the other.

To import MLflow takes seconds, so a process that has shown a run to its end is kept for the next run with the same settings. It
ends when its standard input does, which is when the training process ends, however that comes about.
"""

import atexit
import contextlib
import json
import os
import select
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import sota_exp


@dataclass(frozen=True, kw_only=True)
class FollowingProcess:
    """A process that is told a directory, then `ended`, and answers `done`; `settings` are MLflow's variables in it."""

    process: "subprocess.Popen[bytes]"
    settings: Mapping[str, str]

    def tell(self, words: str) -> None:
        """Write a line to it; a process that is gone is not told."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.write(f"{words}\n".encode())
            self.process.stdin.flush()

    def follow(self, directory: Path, system_interval: float) -> None:
        """Begin with a run's directory; 0 for `system_interval` takes no samples of the machine."""
        self.tell(json.dumps({"directory": str(directory), "system_interval": system_interval}))

    def is_done(self, seconds: float) -> bool:
        """Whether it answers within `seconds` that it has sent what it could, or is gone."""
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        return bool(ready) and self.process.stdout.readline() in (b"done\n", b"")

    def stop(self) -> None:
        """End it, whatever it does: everything can be done again."""
        self.process.kill()
        self.process.communicate()

    def close(self) -> None:
        """Let an idle process end by itself; it has nothing left to do."""
        try:
            self.process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            self.stop()


_idle: list[FollowingProcess] = []


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
    package = str(Path(sota_exp.__file__).resolve().parent.parent)
    paths = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH", "")]))
    process = subprocess.Popen(
        [sys.executable, "-m", "sota_exp.tracking.mlflow_follow"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=os.environ | settings | {"PYTHONPATH": paths},
    )
    return FollowingProcess(process=process, settings=settings)
