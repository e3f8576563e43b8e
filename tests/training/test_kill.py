"""A command that is killed at any moment and repeated gives bitwise equal weights: real processes, real signals."""

import json
import multiprocessing
import os
import pty
import select
import signal
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from sota_exp.errors import RunFailed
from sota_exp.training.run import run as run_here
from tests.experiments import OFF, TINY
from tests.forked import Program
from tests.training.test_run import Silent, request

pytestmark = pytest.mark.slow

NUM_EPOCHS = 10

#: Two seconds of training, long enough to be killed within.
LONG = (*(text for text in TINY if not text.startswith(("schedule.length", "data.num_images"))), *OFF,
        "data.num_images=360", "augmentation=torchvision", "augmentation/crop=random_resized", "model.arch.width_multiplier=1",
        "regularization/average=ema", "regularization.average.every=4", "schedule/lr=cosine",
        f"schedule.length.epochs={NUM_EPOCHS}", "optimizer.lr=0.02")  # fmt: skip


def start(place, *more):
    return Program("train", *LONG, f"hydra.run.dir={place}", *more, output=place.with_suffix(".txt"))


def run(place, *more):
    assert start(place, *more).wait() == 0


def ended_by(number, place, ready, *more, send=os.kill):
    """The exit status of the command, which gets a signal `ready` seconds after its first epoch was written."""
    before = epochs(place)
    process = start(place, *more)
    while epochs(place) == before and process.poll() is None:
        time.sleep(0.02)
    time.sleep(ready)
    if process.poll() is None:
        send(process.pid, number)
    return process.wait(120), place.with_suffix(".txt").read_text()


def epochs(place):
    path = place / "metrics.jsonl"
    return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    place = tmp_path_factory.mktemp("kill") / "reference"
    run(place)
    return place


def assert_alike(place, reference):
    for name in ("model.safetensors", "checkpoint/best.safetensors", "checkpoint/last.safetensors"):
        ours, theirs = load_file(place / name), load_file(reference / name)
        assert all(torch.equal(value, theirs[key]) for key, value in ours.items()), name
    lines = [json.loads(line) for line in (place / "metrics.jsonl").read_text().splitlines()]
    expected = [json.loads(line) for line in (reference / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == list(range(1, NUM_EPOCHS + 1))
    assert [(line["train/loss"], line["val/accuracy"]) for line in lines] == [
        (line["train/loss"], line["val/accuracy"]) for line in expected
    ]


def test_terminated_twice_and_killed_once_it_ends_alike(tmp_path, reference):
    place = tmp_path / "killed"
    status, said = ended_by(signal.SIGTERM, place, 0.06)
    assert status == 143 and "interrupted by signal 15; repeat the command to go on" in said and "Traceback" not in said
    assert json.loads((place / "result.json").read_text())["status"] == "interrupted"
    assert (place / "checkpoint" / "state.pt").exists()
    assert ended_by(signal.SIGKILL, place, 0.12)[0] == -9
    assert ended_by(signal.SIGINT, place, 0.09)[0] == 130
    run(place)
    result = json.loads((place / "result.json").read_text())
    assert result["status"] == "finished"
    assert result["resumed"] >= 2
    assert_alike(place, reference)


SIGNALS = (signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


@pytest.mark.parametrize("numbers", [SIGNALS[:2], pytest.param(SIGNALS, marks=pytest.mark.torture)], ids=len)
def test_signals_to_all_processes_of_a_job_reach_data_workers_too_and_it_ends_alike(tmp_path, reference, numbers):
    """As a terminal that closes and a batch system send them, with one data worker and with two."""
    place = tmp_path / "killed"
    for index, number in enumerate(numbers):
        status, said = ended_by(number, place, 0.03, f"runtime.workers={1 + index % 2}", send=os.killpg)
        assert status == 128 + number and f"interrupted by signal {number}" in said and "Traceback" not in said
    run(place, "runtime.workers=2")
    assert json.loads((place / "result.json").read_text())["resumed"] == len(numbers)
    assert_alike(place, reference)


@pytest.mark.torture  # of the signal itself the tests before tell
def test_a_terminal_that_closes_ends_the_run_with_a_checkpoint(tmp_path, reference):
    """Nothing can be written there any more."""
    place = tmp_path / "killed"
    program, terminal = pty.fork()
    if program == 0:
        os.execv(sys.executable, [sys.executable, "-m", "sota_exp", "train", *LONG, f"hydra.run.dir={place}"])
    while epochs(place) < 2:
        if select.select([terminal], [], [], 0.05)[0]:
            os.read(terminal, 2**16)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(program, 0)[1]) == 128 + signal.SIGHUP
    assert json.loads((place / "result.json").read_text())["reason"].startswith("interrupted by signal 1;")
    run(place)
    assert_alike(place, reference)


def test_a_training_that_fails_leaves_no_data_worker_even_while_its_error_is_kept(tmp_path):
    """Python waits for them at its end."""
    others = set(multiprocessing.active_children())
    with pytest.raises(RunFailed) as kept:
        run_here(request(tmp_path, "runtime.workers=2", "optimizer.lr=1e30"), Silent())
    assert "diverged" in str(kept.value) and set(multiprocessing.active_children()) <= others
