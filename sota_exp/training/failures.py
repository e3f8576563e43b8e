"""Exceptions that mean a failed run, not a bug, in one line: memory, batch norm, disk, files, the compiler."""

from collections.abc import Iterator
from contextlib import contextmanager

from sota_exp.errors import Interrupted, RunFailed, first_line
from sota_exp.training.memory import is_out_of_memory


@contextmanager
def convert_errors() -> Iterator[None]:
    """While entered, errors of memory, batch norm, disk, files and the compiler become a `RunFailed` of one line.

    Raises:
        RunFailed: such an error.
    """
    try:
        yield
    except (RuntimeError, MemoryError, OSError, ValueError) as error:
        raise error_to_failure(error) or error from error


def error_to_failure(error: Exception) -> RunFailed | Interrupted | None:
    """The failure of one line that an exception means; None for all others, which are bugs."""
    text = first_line(error)
    if isinstance(error, RunFailed | Interrupted):
        return error
    if is_out_of_memory(error):
        return RunFailed(f"out of memory: {text}; try a smaller batch_size or schedule/accumulation=micro_batches")
    if text.startswith("Expected more than 1 value per channel when training"):
        return RunFailed(
            "a batch of one image leaves batch norm a single value per channel; try a larger batch_size or "
            "schedule.accumulation.micro_batch_size, larger images, or regularization/norm=group"
        )
    if isinstance(error, OSError) and error.errno == 28:
        return RunFailed(f"disk full: {text}")
    if isinstance(error, OSError):
        return RunFailed(f"cannot read or write: {text}")
    if type(error).__module__.startswith(("torch._inductor", "torch._dynamo")):
        return RunFailed(f"runtime.compile=true: PyTorch can't compile here: {text}; try runtime.compile=false")
    return None
