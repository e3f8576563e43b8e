"""Starts programs as forks of a process that has imported PyTorch, Hydra, Optuna, what draws and this package.

Each is a process of its own, with its own signals, directory and output; what it doesn't have is ten seconds of imports.
"""

import atexit
import faulthandler
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import forkserver, reduction
from pathlib import Path
from typing import Any

import pytest

from sota_exp.runs.environment import changed_environment
from tests.composing import compositions_share_their_work
from tests.conftest import only_make_charts
from tests.options import ROOT
from tests.study_tables import studies_share_their_tables

START_METHOD = "forkserver"

#: Those of this system, the default one first; asked here, because a fork has that of its server.
START_METHODS = multiprocessing.get_all_start_methods()

_context = multiprocessing.get_context(START_METHOD)
_context.set_forkserver_preload(["tests.composed"])


class Forked:
    """A forked process: what a test needs of `subprocess.Popen`."""

    def __init__(self, target: Callable[..., None], *arguments: object) -> None:
        self._process = _context.Process(target=target, args=arguments, daemon=False)
        with changed_environment({"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}):
            forkserver.ensure_running()  # with the tests on its path, wherever the first program starts
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        """The exit status, or minus the signal that ended it; None while it runs."""
        self._process.join(0)
        return self.returncode

    def wait(self, timeout: float | None = 600) -> int:
        """Wait for its end; returns what `poll` does.

        Raises:
            subprocess.TimeoutExpired: it still runs.
        """
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("a forked program", timeout)
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL for this process alone."""
        self.send_signal(signal.SIGKILL)


class Program(Forked):
    """`python -m sota_exp ARGUMENTS`, or `python PATH ARGUMENTS`; `is_bare`: before anything of this package is imported."""

    def __init__(
        self,
        *arguments: str,
        path: Path | None = None,
        cwd: Path | None = None,
        output: Path | None = None,
        is_bare: bool = False,
    ) -> None:
        """Start it. output: the file to which stdout and stderr are appended; without it they are dropped."""
        changed = dict(os.environ) | {"OMP_NUM_THREADS": "1"}
        super().__init__(_run, arguments, path, cwd or Path.cwd(), output or Path(os.devnull), changed, is_bare)

    def kill_group(self) -> None:
        """SIGKILL for the program and all that it started."""
        os.killpg(self.pid, signal.SIGKILL)
        self.wait()


class UploadProcess(Forked):
    """`python -m sota_exp.tracking.mlflow_follow` with pipes, without its two seconds of imports."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        """Start it. settings: environment variables beside those of this process."""
        (reads, told), (said, says) = os.pipe(), os.pipe()
        self.stdin, self.stdout = os.fdopen(told, "w"), os.fdopen(said)
        pipes = [reduction.DupFd(reads), reduction.DupFd(says)]
        try:
            super().__init__(_run_upload, pipes, dict(os.environ) | settings)
        finally:
            os.close(reads)
            os.close(says)


def _run_upload(pipes: Sequence[Any], environment: Mapping[str, str]) -> None:
    os.setsid()
    for pipe, number in zip(pipes, (0, 1), strict=True):
        os.dup2(pipe.detach(), number)
    sys.stdin = os.fdopen(0, closefd=False)  # multiprocessing closes that of a child
    os.environ.clear()
    os.environ.update(environment)
    runpy.run_module("sota_exp.tracking.mlflow_follow", run_name="__main__")


def _run(
    arguments: Sequence[str],
    path: Path | None,
    cwd: Path,
    output: Path,
    environment: Mapping[str, str],
    is_bare: bool,
) -> None:
    os.setsid()
    with output.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    if is_bare:
        for name in [name for name in sys.modules if name.partition(".")[0] in ("sota_exp", "tests")]:
            del sys.modules[name]
    faulthandler.enable()
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    os.fsync = lambda descriptor: None  # as in conftest.py: no test loses power
    signal.signal(signal.SIGINT, signal.default_int_handler)
    multiprocessing.set_start_method(START_METHODS[0], force=True)  # Python's own, as in a program that was started
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # The tests may run under `nohup`.
    try:
        with (
            compositions_share_their_work(),
            studies_share_their_tables(),
            pytest.MonkeyPatch.context() as patch,
        ):
            only_make_charts(patch)
            _run_program(arguments, path)
    finally:
        atexit._run_exitfuncs()


def _run_program(arguments: Sequence[str], path: Path | None) -> None:
    if path is None:
        sys.argv = ["sota-exp", *arguments]
        runpy.run_module("sota_exp", run_name="__main__")
    else:
        sys.argv = [str(path), *arguments]
        sys.path.insert(0, str(path.parent))
        runpy.run_path(str(path), run_name="__main__")
