"""Starts programs as forks of a process that has imported PyTorch, Hydra, Optuna, what draws and this package.

Each is a process of its own, with its own signals, directory and output; what it doesn't have is ten seconds of imports.
The process that is forked, the server, is itself a fork: of the process of the tests, when it has collected them.
"""

import atexit
import contextlib
import faulthandler
import multiprocessing
import os
import runpy
import select
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import forkserver, reduction, resource_tracker, util
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from sota_exp.runs.environment import changed_environment
from tests.composing import compositions_share_their_work
from tests.conftest import only_make_charts
from tests.options import ROOT
from tests.study_tables import studies_share_their_tables

START_METHOD = "forkserver"

#: Those of this system, the default one first; asked here, because a fork has that of its server.
START_METHODS = multiprocessing.get_all_start_methods()

#: The program that sends a run to MLflow.
UPLOAD = "sota_exp.tracking.mlflow_follow"

#: What the server imports before its first fork.
PRELOADED = ["tests.composed"]

_context = multiprocessing.get_context(START_METHOD)
_context.set_forkserver_preload(PRELOADED)


def fork_server() -> None:
    """Start the server now, with all that is imported, where Python would start a program that imports it again.

    One that has ended is started by Python.
    """
    resource_tracker.ensure_running()
    with mock.patch.object(util, "spawnv_passfds", _fork):
        forkserver.ensure_running()


def _fork(path: bytes, words: Sequence[str], descriptors: Sequence[int]) -> int:
    """The number of a fork that is the server; it imports and composes nothing before the first program starts.

    descriptors: the socket at which it is asked for forks, and the pipe that ends with the processes that may ask.
    """
    if number := os.fork():
        return number
    try:
        close_other_end(descriptors[-1])
        sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))  # not those of the tests
        warnings.resetwarnings()  # nor their filters, but Python's own
        for category in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", category)
        sys.modules.pop(UPLOAD, None)  # which is a program
        select.select(descriptors, [], [])
        forkserver.main(*descriptors, PRELOADED)
    finally:
        os._exit(0)


def close_other_end(descriptor: int) -> None:
    """Close the end of a pipe at which is written: the other one then ends with the other processes that have it."""
    pipe = os.fstat(descriptor)
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # that of the folder itself is closed by now
            if int(path.name) != descriptor and os.path.samestat(path.stat(), pipe):
                os.close(int(path.name))


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
    runpy.run_module(UPLOAD, run_name="__main__")


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
    import torch

    # A fork makes PyTorch's pool of threads anew at its first use, and fails where two threads are the first at once.
    torch.set_num_threads(1)
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
