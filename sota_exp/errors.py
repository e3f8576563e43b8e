"""Exceptions and their exit status: 2 for an error of the user, 1 for a run that failed."""

import errno
import os
import signal
import textwrap
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

#: Signals after which a training writes a checkpoint and ends: Ctrl-C, the end of a job or session, and the warnings of
#: batch systems (SLURM: `--signal=USR1@120`).
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


class ToldInALine(Exception):
    """An error whose message says all: a notebook shows it without the traceback, as the shell does."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows; `SOTA_EXP_TRACEBACK=1` shows the whole."""
        if os.environ.get("SOTA_EXP_TRACEBACK") == "1":
            return traceback.format_exception(self)
        return [f"{type(self).__name__}: {self}"]


class ConfigError(ToldInALine):
    """The configuration or the command is wrong: exit status 2."""


class NotTrainable(ConfigError):
    """Nothing in the configuration is wrong, but a rule forbids the whole, or a value that an option needs is missing.

    A study leaves such an arm out.
    """


def raise_usage_error(message: str) -> NoReturn:
    """What takes the place of `ArgumentParser.error`, which would print all flags and exit.

    Raises:
        ConfigError: always.
    """
    raise ConfigError(f"{message}; --help says what is legal")


class RunFailed(ToldInALine):
    """The run failed for a known reason (diverged, out of memory, unreadable data, disk full): exit status 1."""


class RunLost(RunFailed):
    """The process that trained the run died; launched again, the run goes on from its checkpoint."""


class DamagedFile(ValueError):
    """A file of a run is not as the run wrote it."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} is damaged: {reason}")
        self.path = path


class Interrupted(ToldInALine):
    """A signal ended the run after its checkpoint was written: exit status 128 + the signal's number."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"interrupted by signal {signal_number}; repeat the command to go on")
        self.signal_number = signal_number


def first_line(error: BaseException) -> str:
    """What an exception says in its first line; its type's name where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def in_a_line(error: BaseException) -> str:
    """The error's type and first line, cut between two words where it is longer than a line."""
    name, line = type(error).__name__, first_line(error)
    return name if line == name else f"{name}: {textwrap.shorten(line, 120, placeholder=' …')}"


def find_cause(error: BaseException) -> BaseException:
    """The first of the errors that led to this one; raised again, an error may be among its own causes."""
    seen: list[BaseException] = []
    while (before := error.__cause__ or error.__context__) is not None and before not in seen:
        seen.append(error)
        error = before
    return error


#: Beginning of the module of an exception's type → what went wrong.
FOREIGN_ERRORS = {
    "torch._inductor": "runtime.compile=true: PyTorch can't compile here: {text}; {fix}",
    "torch._dynamo": "runtime.compile=true: PyTorch can't compile here: {text}; {fix}",
    "safetensors": "cannot read or write weights: {text}",
}

#: Who, as long as nothing is known of it; and what gloo and NCCL say of it in many ways.
OTHER_PROCESS = "another process"
LOST_PROCESS = (
    f"{OTHER_PROCESS} of this run ended or can't be reached: what it printed last says why; the same command goes on"
)

#: Words of CUDA and its libraries, and of compiled code on it.
GPU_ERRORS = ("CUDA error", "CUDA driver error", "cuDNN error", "Triton Error [CUDA]")

#: Words in the message of a `RuntimeError` or `ValueError` of PyTorch → what went wrong.
RUNTIME_ERRORS = {
    "Expected more than 1 value per channel when training": "a batch of one image leaves batch norm a single value per "
    "channel; try a larger batch_size or schedule.accumulation.micro_batch_size, larger images, or "
    "regularization/norm=group",
    "DataLoader worker": "a process that loads images ended: {text}; if memory ran out, try fewer runtime.workers",
    "does not have a deterministic implementation": "runtime.deterministic=true: {text}; set it to false",
    "CUBLAS_WORKSPACE_CONFIG": "runtime.deterministic=true: cuBLAS was used, or set to something else, before sota_exp "
    "was imported; set CUBLAS_WORKSPACE_CONFIG=:4096:8 before Python starts",
    "gloo/transport": LOST_PROCESS,
    "NCCL": LOST_PROCESS + " ({text})",
    "remote process exited": LOST_PROCESS,
    **dict.fromkeys(GPU_ERRORS, "the GPU failed: {text}; sota-exp doctor tries it, runtime.device=cpu needs none"),
    "PytorchStreamWriter": "cannot write a checkpoint: {text}; is the disk full?",
    "inline_container": "cannot write a checkpoint: {text}; is the disk full?",
}


#: What `RuntimeError`s say of full memory: PyTorch's on the CPU, and outside of its allocator those of CUDA, Triton and
#: NCCL, of cuBLAS, and of cuDNN since 9.0.
OUT_OF_MEMORY = ("can't allocate memory", "out of memory", "STATUS_ALLOC_FAILED", "ALLOCATION_FAILED")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocator failed: of the device, of Python, or PyTorch's on the CPU, which raises a `RuntimeError`."""
    says_so = isinstance(error, RuntimeError) and any(words in str(error) for words in OUT_OF_MEMORY)
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or says_so


def error_to_failure(error: BaseException) -> RunFailed | Interrupted | None:
    """The failure of one line that an exception means: memory, batch norm, disk, files, the compiler; None for bugs."""
    text, kind = first_line(error), type(error)
    if isinstance(error, RunFailed | Interrupted):
        return error
    if is_out_of_memory(error):
        fix = "try a smaller batch_size, schedule/accumulation=micro_batches or runtime.checkpoint_activations=true"
        return RunFailed(f"out of memory: {text}; {fix}")
    if isinstance(error, DamagedFile):
        return RunFailed(text)
    if isinstance(error, OSError):
        return RunFailed(f"{'disk full' if error.errno == errno.ENOSPC else 'cannot read or write'}: {text}")
    words = [line for module, line in FOREIGN_ERRORS.items() if kind.__module__.startswith(module)]
    if isinstance(error, RuntimeError | ValueError):
        words += [line for word, line in RUNTIME_ERRORS.items() if word in str(error)]
    # A process that is killed while it compiles leaves an empty library, which PyTorch takes for a whole one.
    is_cut_off = any(part in str(error) for part in ("file too short", "invalid ELF"))
    fix = "an earlier compilation was cut off: remove that file" if is_cut_off else "try runtime.compile=false"
    return RunFailed(words[0].format(text=text, fix=fix)) if words else None


@contextmanager
def convert_errors() -> Iterator[None]:
    """While entered, errors of memory, batch norm, disk, files and the compiler become a `RunFailed` of one line.

    Raises:
        RunFailed: such an error.
    """
    try:
        yield
    except Exception as error:
        failure = error_to_failure(error)
        if failure is None:
            raise
        raise failure from error
