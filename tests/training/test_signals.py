"""A signal is acknowledged at once, and a second Ctrl-C waits for nothing."""

import multiprocessing
import signal
import time

import pytest

from sota_exp.config.signals import acknowledge
from sota_exp.training.signals import STOPPING, recorded_signals


def test_a_signal_is_told_at_once_and_once(capfd: pytest.CaptureFixture[str]) -> None:
    """By a thread, before its handler would have the time to."""
    before, told, deadline = signal.set_wakeup_fd(-1), "", time.monotonic() + 20
    signal.set_wakeup_fd(before)
    with recorded_signals() as recorder:
        signal.raise_signal(signal.SIGTERM)
        while not told and time.monotonic() < deadline:
            time.sleep(0.01)
            told = capfd.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert told == f"sota-exp: {STOPPING}\n" and recorder.received == signal.SIGTERM
    assert capfd.readouterr().err == ""
    assert signal.set_wakeup_fd(before) == before


@pytest.mark.parametrize("is_worker", [True, False])
def test_one_process_speaks(
    is_worker: bool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    if is_worker:
        monkeypatch.setattr(multiprocessing.current_process(), "name", "LokyProcess-1")
    else:
        monkeypatch.setenv("RANK", "1")
    acknowledge("stopping")
    assert capfd.readouterr().err == ""
