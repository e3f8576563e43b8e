import ctypes
import gc
import sys
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sota_exp.cli.main import run_command_line
from sota_exp.errors import RunFailed
from sota_exp.training import input_sizes, memory
from sota_exp.training.listener import Listener, RunRequest
from sota_exp.training.loop import StepRecord, TrainingSession, TrainingState, start_training
from sota_exp.training.run import run
from tests.experiments import OFF, TINY, composed


def test_glibc_listens() -> None:
    assert memory.reuse_freed_memory() == sys.platform.startswith("linux")


@pytest.mark.parametrize("platform", ["darwin", "linux"])
def test_other_systems_and_libraries_are_left_as_they_are(platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def library_without_mallopt(name: Any) -> object:
        return object()

    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(ctypes, "CDLL", library_without_mallopt)
    assert not memory.reuse_freed_memory()


@pytest.fixture
def little_garbage() -> None:
    """What earlier tests left is not looked through: it takes half a second each time."""
    gc.freeze()


class Fails(Listener):
    """Ends the first of several trainings with an error; knows which networks there were, and which still are."""

    def __init__(self, error: Exception) -> None:
        self.error, self.networks = error, list[weakref.ref[nn.Module]]()
        self.num_alive: list[int] = []

    def on_start(self, request: RunRequest, session: TrainingSession, state: TrainingState) -> None:
        gc.collect()
        self.num_alive.append(sum(network() is not None for network in self.networks))
        self.networks.append(weakref.ref(state.model))

    def on_step(self, record: StepRecord) -> None:
        raise self.error


@pytest.mark.usefixtures("little_garbage")
@pytest.mark.parametrize(
    "error", [RunFailed("diverged"), torch.OutOfMemoryError("CUDA"), ValueError("a fault")], ids=str
)
def test_a_failed_job_leaves_no_network_though_its_error_is_kept(error: Exception, tmp_path: Path) -> None:
    """Hydra keeps the error of each job of `-m`, and with it what its calls knew."""
    listener = Fails(error)
    with pytest.raises((RunFailed, ValueError)) as kept:
        run(RunRequest(configuration=composed(*TINY, *OFF), directory=tmp_path), listener)
    gc.collect()
    assert kept.value is error or kept.value.__cause__ is error
    assert [network() for network in listener.networks] == [None]


@pytest.mark.usefixtures("little_garbage")
def test_the_next_job_of_a_multirun_has_the_memory_of_the_one_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks: list[weakref.ref[nn.Module]] = []
    num_alive: list[int] = []

    def start(session: TrainingSession) -> TrainingState:
        gc.collect()
        num_alive.append(sum(network() is not None for network in networks))
        state = start_training(session)
        networks.append(weakref.ref(state.model))
        return state

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(input_sizes, "start_training", start)
    assert run_command_line(["train", "-m", *TINY, *OFF, "optimizer.lr=1e30,0.01", "hydra.sweep.dir=runs"]) == 1
    assert num_alive == [0, 0]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux forgets a peak")
def test_a_peak_is_forgotten_and_measured_anew():
    cpu = torch.device("cpu")
    memory.reset_peak_memory(cpu)
    before = memory.get_peak_memory(cpu)
    large = torch.ones(2**28, dtype=torch.uint8)
    assert memory.get_peak_memory(cpu) >= before + 0.9 * 2**28
    del large
    memory.reset_peak_memory(cpu)
    assert memory.get_peak_memory(cpu) <= before + 0.1 * 2**28
