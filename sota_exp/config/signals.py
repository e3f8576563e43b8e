"""Handlers of signals for a while."""

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def handled_signals(numbers: Iterable[int], handle: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """While entered, `handle` is called at these signals, and then again what was before.

    Only the main thread may set handlers; in another one nothing is done, as the owner of the main thread ends the run.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, before in former.items():
            signal.signal(number, before)


@contextmanager
def postponed_interrupt() -> Iterator[None]:
    """While entered, Ctrl-C waits: where an import of PyTorch or NumPy was interrupted, the process can't repeat it."""
    received: list[int] = []
    try:
        with handled_signals([signal.SIGINT], lambda number, frame: received.append(number)):
            yield
    finally:
        if received:
            signal.raise_signal(signal.SIGINT)  # for the handler that was there before
