"""Runs a command inside a Python process, of which everything else stays as it was: settings, logging, folder, Hydra.

A process runs one command at a time; another thread waits. Signals are handled in the main thread only.
"""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from sota_exp.config import compose
from sota_exp.config.console_log import OncePerCommand
from sota_exp.config.credentials import hide_credentials
from sota_exp.config.data_paths import quote_paths
from sota_exp.config.printable import PrintableFormatter
from sota_exp.errors import ConfigError, Interrupted, convert_errors
from sota_exp.report.terminal import NOTHING, PROGRESS, limited_output
from sota_exp.runs.environment import changed_environment, get_rank

#: Hydra leaves the logging of the process alone.
NO_LOGGING = ("hydra/job_logging=none", "hydra/hydra_logging=none")

#: Lines of `run.log`, as `conf/hydra/job_logging/sota_exp.yaml` has them.
LOG_LINE = "[%(asctime)s][%(name)s][%(levelname)s] %(message)s"

#: Flags of `sota-exp ablate` that have a function of their own.
PLAN_FLAGS = {"--plan": "sota_exp.plan(…)", "--no-measure": "sota_exp.plan(…, measure=False)"}

_one_at_a_time = threading.RLock()


def take_overrides(command: str, overrides: Sequence[str]) -> list[str]:
    """The overrides as the shell hands them to a command.

    Raises:
        ConfigError: one is no text, or a flag other than --config-dir.
    """
    for word in overrides:
        if not isinstance(word, str):
            raise ConfigError(f"{word!r}: an override is a text, such as 'seed=1'")
        if word in PLAN_FLAGS:
            raise ConfigError(f"{word}: a flag of the shell; from Python {PLAN_FLAGS[word]}")
        if word.startswith("-") and not word.startswith(("--config-dir=", "-cd=")):
            raise ConfigError(f"{word}: a flag of the shell: sota-exp {command} {word}; Python takes --config-dir=DIR")
    return quote_paths(list(map(hide_credentials, overrides)))


@contextmanager
def as_command(quiet: bool = False) -> Iterator[None]:
    """While entered, a command runs: consoles print its progress alone, or nothing, and errors are those of the shell.

    Raises:
        ConfigError, RunFailed: see `errors.py`.
        KeyboardInterrupt: of Ctrl-C, after the checkpoint was written.
        Interrupted: of another signal.
    """
    printed = NOTHING if quiet or get_rank() else PROGRESS
    with ExitStack() as kept:
        kept.enter_context(_one_at_a_time)
        kept.enter_context(_kept_hydra())
        kept.enter_context(_kept_torch())
        kept.enter_context(_forwarded_log(quiet))
        kept.enter_context(limited_output(printed))
        try:
            with convert_errors():
                yield
        except Interrupted as error:
            if error.signal_number == signal.SIGINT:
                raise KeyboardInterrupt(str(error)) from error
            raise


@contextmanager
def _kept_hydra() -> Iterator[None]:
    """While entered, Hydra is free for a command, also inside the job of another program that uses it."""
    arguments, app, job = sys.argv, GlobalHydra.instance().hydra, HydraConfig.instance().cfg
    GlobalHydra.instance().hydra = None
    try:
        with changed_environment({"HYDRA_FULL_ERROR": os.environ.get("HYDRA_FULL_ERROR", "1")}):
            yield
    finally:
        sys.argv, GlobalHydra.instance().hydra, HydraConfig.instance().cfg = arguments, app, job


@contextmanager
def _kept_torch() -> Iterator[None]:
    """While entered, what a command sets in PyTorch holds; then what the process had set, if it used PyTorch before."""
    if "torch" not in sys.modules:
        yield
        return
    import torch

    threads, precision, state = torch.get_num_threads(), torch.get_float32_matmul_precision(), torch.get_rng_state()
    is_deterministic, cudnn = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn
    tf32, benchmark = cudnn.allow_tf32, cudnn.benchmark
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)
        torch.set_rng_state(state)
        torch.use_deterministic_algorithms(is_deterministic)
        cudnn.allow_tf32, cudnn.benchmark = tf32, benchmark


class _ToCaller(logging.Handler):
    """Hands messages of at least `least` to the handlers that the process has, and equal ones about data once.

    quiet: not to those that Python has for a process without handlers.
    """

    def __init__(self, least: int, quiet: bool) -> None:
        super().__init__()
        self.least, self.quiet = least, quiet
        self.addFilter(OncePerCommand())

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= self.least and not (self.quiet and not logging.root.handlers):
            logging.root.handle(record)


@contextmanager
def _forwarded_log(quiet: bool) -> Iterator[None]:
    """While entered, messages of sota_exp go to `run.log` from INFO on, and to the caller as the caller wants them."""
    log = logging.getLogger("sota_exp")
    if any(isinstance(each, _ToCaller) for each in log.handlers):  # a command inside a command
        yield
        return
    before, handler = log.propagate, _ToCaller(log.getEffectiveLevel(), quiet)
    log.addHandler(handler)
    log.propagate = False
    try:
        yield
    finally:
        log.propagate = before
        log.removeHandler(handler)


@contextmanager
def _written_log(path: Path) -> Iterator[None]:
    """While entered, messages of sota_exp are appended to a file."""
    log, handler = logging.getLogger("sota_exp"), logging.FileHandler(path, delay=True)
    handler.setFormatter(PrintableFormatter(LOG_LINE))
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.setLevel(level)
        log.removeHandler(handler)
        handler.close()


def _run_logged(task: Callable[[DictConfig], Any], config: DictConfig) -> Any:
    """A job, whose messages go to its `run.log`; also in another process."""
    with _written_log(compose.get_output_directory() / "run.log"):
        return task(config)


def run_job(task: Callable[[DictConfig], object], words: Sequence[str], command: str) -> Path:
    """Run one job with Hydra, and return its directory."""
    found: list[Path] = []

    def run(config: DictConfig) -> object:
        found.append(compose.get_output_directory())
        return _run_logged(task, config)

    compose.run_hydra(run, [*words, *NO_LOGGING], command)
    return found[0]


def run_jobs(task: Callable[[DictConfig], object], words: Sequence[str], command: str) -> Path:
    """Run the jobs of a study or a sweep, and return its directory, which `words` name."""
    place = [word for word in words if word.startswith("hydra.sweep.dir=")][-1]
    directory = Path(str(OverridesParser.create().parse_override(place).value())).absolute()
    compose.run_hydra(partial(_run_logged, task), [*words, *NO_LOGGING], command)
    return directory
