"""Signals that end a training, recorded to be checked after every step, so that checkpoints are written as a whole."""

import signal
import threading
from types import FrameType, TracebackType

from sota_exp.errors import STOP_SIGNALS


class SignalRecorder:
    """While entered, the first signal is recorded in `received`; a second SIGINT raises `KeyboardInterrupt`."""

    def __init__(self) -> None:
        self.received: int | None = None
        self._former: dict[int, object] = {}

    def __enter__(self) -> "SignalRecorder":
        # Only the main thread may set handlers; in another thread, the owner of the main thread ends the run.
        if threading.current_thread() is threading.main_thread():
            self._former = {number: signal.signal(number, self._note) for number in list_handled()}
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


def list_handled() -> list[signal.Signals]:
    """`STOP_SIGNALS`, without SIGHUP where it is ignored, as `nohup` asks for."""
    is_nohup = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return [number for number in STOP_SIGNALS if not (is_nohup and number == signal.SIGHUP)]
