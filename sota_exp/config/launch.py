"""Launches runs with a launcher of Hydra: looks at them while they run, and says which of them were lost.

Hydra's own launcher trains in this process, one run after the other. All others (joblib, submitit, Ray) train in other
processes, which may die: their runs are lost, not failed; launched again, they go on from their checkpoints.
"""

import logging
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType
from typing import NoReturn

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.types import RunMode

from sota_exp.config.console_log import share_shown_messages
from sota_exp.config.job_returns import get_error, make_lost_return
from sota_exp.config.signals import handled_signals
from sota_exp.errors import STOP_SIGNALS, ConfigError, Interrupted, RunFailed, RunLost, in_a_line

log = logging.getLogger(__name__)

#: Seconds between two looks at runs of other processes.
LOOK_SECONDS = 1.0

#: How often a run may be lost with the process that trains it before it counts as failed.
MAX_LOSSES = 3

#: The beginning of joblib's warning of a worker that made room for a new one, as it does when its memory has grown.
WORKER_STOPPED = "A worker stopped while some jobs were given to the executor"

#: Errors that a launcher raises for what it is told to do, before it starts a run.
REFUSALS = (ValueError, TypeError, NameError, AssertionError, ImportError, HydraException)


def is_sequential(launcher: Launcher) -> bool:
    """Whether runs are trained in this process, one after the other."""
    return isinstance(launcher, BasicLauncher)


def is_followed_by_another_process() -> bool:
    """Whether Hydra's current job was launched by another process, which prints a line when the job ends."""
    config = HydraConfig.get()
    is_sequential_job = str(config.launcher._target_).endswith(f".{BasicLauncher.__name__}")
    return config.mode == RunMode.MULTIRUN and not is_sequential_job


def launch_jobs(
    launcher: Launcher, jobs: Sequence[Sequence[str]], first_index: int, look: Callable[[], object] | None = None
) -> list[JobReturn]:
    """Train the jobs, given by their overrides; returns what each returned: failed with `RunLost` if its process died.

    look: called every second while other processes train, and once when they have ended.

    Raises:
        ConfigError: the launcher cannot do what it is told.
        Interrupted, KeyboardInterrupt: a signal ended the command or a run.
    """
    if is_sequential(launcher):
        return list(launcher.launch(jobs, initial_job_idx=first_index))
    share_shown_messages()
    try:
        with interrupted_by_signals(), call_regularly(look), warnings.catch_warnings():
            warnings.filterwarnings("ignore", WORKER_STOPPED)
            returned = list(_choose_launch(launcher)(jobs, initial_job_idx=first_index))
    except (ConfigError, RunFailed, Interrupted):
        raise
    except REFUSALS as error:
        raise ConfigError(f"hydra.launcher: {in_a_line(error)}") from error
    except Exception as error:  # Joblib and Ray do not say whose worker died.
        returned = [make_lost_return(job, error) for job in jobs]
    if lost := [error for error in map(get_error, returned) if isinstance(error, RunLost)]:
        log.warning("%s: a run that has not ended is launched again, %d times at most", lost[0], MAX_LOSSES - 1)
    return returned


def _choose_launch(launcher: Launcher) -> Callable[..., Sequence[JobReturn]]:
    """The launcher's own method; for submitit and Ray one that waits for all runs where one is lost."""
    plugin = ".".join(type(launcher).__module__.split(".")[1:2])
    if plugin == "hydra_submitit_launcher":
        from sota_exp.config.launch_submitit import launch_with_submitit

        return partial(launch_with_submitit, launcher)
    if plugin == "hydra_ray_launcher":
        from sota_exp.config.launch_ray import launch_with_ray

        return partial(launch_with_ray, launcher)
    return launcher.launch


@contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """While entered, `STOP_SIGNALS` raise `Interrupted`, so that the launcher ends its processes with this one.

    Raises:
        Interrupted: at a signal.
    """

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        raise Interrupted(number)

    handled = [number for number in STOP_SIGNALS if signal.getsignal(number) == signal.SIG_DFL]
    with handled_signals(handled, interrupt):
        yield


@contextmanager
def call_regularly(look: Callable[[], object] | None) -> Iterator[None]:
    """While entered, a thread calls `look` every second; at the end this thread does, which raises its errors."""
    if look is None:
        yield
        return
    is_over = threading.Event()

    def call() -> None:
        while not is_over.wait(LOOK_SECONDS):
            with suppress(Exception):  # A folder or storage that is away now may be there a second later.
                look()

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
    look()
