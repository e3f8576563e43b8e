"""Signals that end a training, recorded to be checked after every step, so that checkpoints are written as a whole."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from sota_exp.config.signals import acknowledged_signals, handled_signals
from sota_exp.errors import STOP_SIGNALS

#: What is said of the first one.
STOPPING = "stopping when this step is done and saved; Ctrl-C again stops without that"


class SignalRecorder:
    """The first signal that was `received`; a second SIGINT raises `KeyboardInterrupt`."""

    def __init__(self) -> None:
        self.received: int | None = None

    def note(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal.

        Raises:
            KeyboardInterrupt: at a second SIGINT.
        """
        if self.received is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = number


@contextmanager
def recorded_signals() -> Iterator[SignalRecorder]:
    """While entered, signals that end a training are recorded, and told at once."""
    recorder, handled = SignalRecorder(), list_handled()
    with handled_signals(handled, recorder.note), acknowledged_signals(handled, STOPPING):
        yield recorder


def list_handled() -> list[signal.Signals]:
    """`STOP_SIGNALS`, without SIGHUP where it is ignored, as `nohup` asks for."""
    is_nohup = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return [number for number in STOP_SIGNALS if not (is_nohup and number == signal.SIGHUP)]
