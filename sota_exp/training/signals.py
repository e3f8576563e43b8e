"""SIGINT and SIGTERM, recorded to be checked after every step, so that checkpoints are written as a whole."""

import signal
import threading
from types import FrameType, TracebackType


class SignalRecorder:
    """While entered, the first signal is recorded in `received`; a second SIGINT raises `KeyboardInterrupt`."""

    def __init__(self) -> None:
        self.received: int | None = None
        self._former: dict[int, object] = {}

    def __enter__(self) -> "SignalRecorder":
        # Only the main thread may set handlers; in another thread, the owner of the main thread ends the run.
        if threading.current_thread() is threading.main_thread():
            self._former = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = number

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, former in self._former.items():
            signal.signal(number, former)  # type: ignore[arg-type]
