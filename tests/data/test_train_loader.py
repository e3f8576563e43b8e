"""Data workers end with the training, however it ends."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.forked import Program

LOADING = Path(__file__).with_name("loading.py")

#: Seconds in which they end. PyTorch's own check takes five, and never ends those of a forkserver.
SECONDS = 3


def start(method, place):
    """The program: a fork of this process where it may be one, which imports nothing."""
    if method == "fork":
        return Program(method, path=LOADING, output=place)
    with place.open("wb") as file:
        return subprocess.Popen([sys.executable, str(LOADING), method], stdout=file, stderr=file)


@pytest.mark.parametrize(
    "method", ["fork", *(pytest.param(each, marks=pytest.mark.torture) for each in ("forkserver", "spawn"))]
)
def test_data_workers_end_with_a_training_that_is_killed(method, tmp_path):
    place = tmp_path / "pids"
    training = start(method, place)
    while not (place.exists() and place.read_text().endswith("\n")):
        assert training.poll() is None, place.read_text()
        time.sleep(0.02)
    workers = [psutil.Process(int(pid)) for pid in place.read_text().split()]
    training.send_signal(signal.SIGKILL)
    training.wait()
    gone, alive = psutil.wait_procs(workers, timeout=SECONDS)
    assert (len(gone), alive) == (2, [])
