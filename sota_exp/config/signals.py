"""Handlers of signals for a while, and the line that says that a signal was received."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
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


def acknowledge(text: str) -> None:
    """Print a line about a signal, also from its handler, where nothing that has a buffer may be used.

    Processes that this package started, and those of torchrun but the first, leave it to the first.
    """
    is_first = multiprocessing.current_process().name == "MainProcess" and os.environ.get("RANK", "0") == "0"
    if is_first:
        with suppress(OSError):  # The terminal may be gone.
            after_echo = "\n" if os.isatty(2) else ""  # of ^C
            os.write(2, f"{after_echo}sota-exp: {text}\n".encode())


@contextmanager
def acknowledged_signals(numbers: Iterable[int], text: str) -> Iterator[None]:
    """While entered, a thread tells the first of these signals at once: its handler waits for what computes in C.

    Only in the main thread, and only of signals with a handler.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    thread = threading.Thread(target=_tell_first, args=(reading, frozenset(numbers), text), daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.write(writing, b"\0")  # no signal, so that the thread ends
        thread.join()
        os.close(reading)
        os.close(writing)


def _tell_first(reading: int, numbers: frozenset[int], text: str) -> None:
    """Read numbers of signals up to 0, and print `text` at the first one of `numbers`."""
    is_told = False
    while number := os.read(reading, 1)[0]:
        if number in numbers and not is_told:
            is_told = True
            acknowledge(text)


@contextmanager
def postponed_interrupt() -> Iterator[None]:
    """While entered, Ctrl-C waits: where an import of PyTorch or NumPy was interrupted, the process can't repeat it."""
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)
        acknowledge("stopping when the library is loaded that is being loaded")

    try:
        with handled_signals([signal.SIGINT], note):
            yield
    finally:
        if received:
            signal.raise_signal(signal.SIGINT)  # for the handler that was there before
