"""A signal is acknowledged at once, and a second Ctrl-C waits for nothing."""

import multiprocessing
import signal

import pytest

from sota_exp.training.signals import SignalRecorder


def test_a_signal_is_acknowledged_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    recorder = SignalRecorder()
    recorder.note(signal.SIGTERM, None)
    assert capfd.readouterr().err == (
        "sota-exp: stopping when this step is done and saved; Ctrl-C again stops without that\n"
    )
    with pytest.raises(KeyboardInterrupt):
        recorder.note(signal.SIGINT, None)
    assert recorder.received == signal.SIGTERM


@pytest.mark.parametrize("is_worker", [True, False])
def test_one_process_speaks(
    is_worker: bool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    if is_worker:
        monkeypatch.setattr(multiprocessing.current_process(), "name", "LokyProcess-1")
    else:
        monkeypatch.setenv("RANK", "1")
    SignalRecorder().note(signal.SIGINT, None)
    assert capfd.readouterr().err == ""
