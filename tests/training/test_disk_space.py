"""An almost full disk is told before training, with what the run will write."""

import shutil
from types import SimpleNamespace

import pytest

from sota_exp.training.disk_space import estimate_written_bytes
from sota_exp.training.listener import RunRequest
from sota_exp.training.loop import start_training
from sota_exp.training.run import run
from tests.experiments import OFF, TINY, composed, session_of
from tests.training.test_run import Silent, request


def disk(used, free):
    return lambda path: SimpleNamespace(total=used + free, used=used, free=free)


@pytest.mark.parametrize(
    ("used", "free", "said"),
    [
        (10**12, 10**12, ""),
        (94 * 10**9, 6 * 10**9, ""),
        (95 * 10**9, 5 * 10**9, "is 95 % full: 5.0 GB are free, and this run will write about "),
        (10**6, 10**4, "is 99 % full: 10.0 kB are free, and this run will write about "),
        (0, 1000, "is 0 % full: 1.0 kB are free, and this run will write about "),
    ],
)
def test_an_almost_full_disk_is_told_before_the_first_step(tmp_path, monkeypatch, caplog, used, free, said):
    monkeypatch.setattr(shutil, "disk_usage", disk(used, free))
    before = []
    run(request(tmp_path), Silent(lambda step: before.append(caplog.text)))
    assert said in before[0] and (bool(said) == ("% full" in before[0]))


@pytest.mark.parametrize("words", [(), ("regularization/average=ema",), ("optimizer=adamw",)], ids=str)
def test_the_estimate_is_near_what_a_run_writes(tmp_path, words):
    wide = [word for word in TINY if "width_multiplier" not in word]
    configuration = composed(*wide, *OFF, "model.arch.width_multiplier=2", *words)
    session, _ = session_of(configuration.experiment)
    estimate = estimate_written_bytes(session, start_training(session))
    run(RunRequest(configuration=configuration, directory=tmp_path), Silent())
    written = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    state = (tmp_path / "checkpoint" / "state.pt").stat().st_size
    assert 0.9 * written < estimate - 2 * state < 1.5 * written  # one checkpoint here, not three
