import logging
import sys
import threading
from contextlib import suppress
from types import SimpleNamespace

import pytest
import torch

from sota_exp.cli.main import run_command_line
from sota_exp.errors import ConfigError
from sota_exp.study.cost_estimate import measure_arm
from sota_exp.training import device as device_module
from sota_exp.training import gpu_lease
from sota_exp.training import run as run_module
from sota_exp.training.autotune import choose_runtime
from sota_exp.training.distributed import World
from sota_exp.training.evaluate_saved import SavedEvaluation, evaluate_saved
from sota_exp.training.gpu_lease import find_free_gpu, hold_gpu, lease_gpu
from sota_exp.training.listener import Listener, RunRequest
from sota_exp.training.run import run
from tests.experiments import OFF, TINY, composed

GPUS = ("GPU-a", "GPU-b")


@pytest.fixture
def process(monkeypatch):
    """Begins another process: one that holds no GPU. The locks of those before stay, and are returned."""
    monkeypatch.setattr(gpu_lease, "SECONDS_BETWEEN_LOOKS", 0.01)

    def begin():
        monkeypatch.setattr(gpu_lease, "_held", held := {})
        return held

    return begin


def test_each_process_takes_a_gpu_of_its_own_and_keeps_it(process, tmp_path):
    process()
    assert [lease_gpu(GPUS, tmp_path) for _ in range(3)] == [0, 0, 0]
    process()
    assert [lease_gpu(GPUS, tmp_path) for _ in range(2)] == [1, 1]


def test_the_third_waits_for_one_of_two_and_says_so_once(process, tmp_path, caplog):
    first = process()
    lease_gpu(GPUS, tmp_path)
    process()
    lease_gpu(GPUS, tmp_path)
    process()
    end = threading.Timer(0.1, first["GPU-a"].release)
    end.start()
    assert lease_gpu(GPUS, tmp_path) == 0
    end.join()
    assert [record.message for record in caplog.records if record.levelno == logging.WARNING] == [
        "all 2 GPUs are in use by other jobs of sota-exp: waiting; runtime.device=cuda:0 shares one"
    ]


def test_a_look_takes_a_free_gpu_holds_none_and_waits_for_none(process, tmp_path, caplog):
    process()
    lease_gpu(GPUS, tmp_path)
    held = process()
    assert find_free_gpu(GPUS, tmp_path) == 1 and held == {} and caplog.text == ""
    assert lease_gpu(GPUS, tmp_path) == 1 and find_free_gpu(GPUS, tmp_path) == 1 and [*held] == ["GPU-b"]
    process()
    assert find_free_gpu(GPUS, tmp_path) == 0
    assert "all 2 GPUs are in use by other jobs of sota-exp: sharing one, so steps take longer" in caplog.text


def test_a_job_that_can_not_wait_keeps_others_from_its_gpu(process, tmp_path):
    process()
    assert hold_gpu("GPU-a", tmp_path) and hold_gpu("GPU-a", tmp_path)
    process()
    assert lease_gpu(GPUS, tmp_path) == 1
    assert not hold_gpu("GPU-a", tmp_path)


@pytest.mark.parametrize("command", ["explain", "look"])
def test_explain_and_look_lease_no_gpu(command, tmp_path, monkeypatch):
    chosen = []

    def set_up(experiment, choose_gpu):
        chosen.append(choose_gpu)
        return World(), torch.device("cpu")

    monkeypatch.setattr(run_module, "set_up_process", set_up)
    monkeypatch.setattr(sys, "argv", ["sota-exp"])
    monkeypatch.chdir(tmp_path)
    assert run_command_line([command, *TINY]) == 0
    assert chosen == [find_free_gpu]


def test_a_folder_that_can_not_be_written_to_stops_no_training(process, tmp_path, caplog):
    process()
    (tmp_path / "file").touch()
    assert lease_gpu(GPUS, tmp_path / "file") == 0
    assert "other jobs may use the same GPU" in caplog.text


def test_a_gpu_is_handed_back_after_a_job_though_its_process_goes_on(process, tmp_path):
    """A worker of joblib idles beside others that wait; a study measures its arms before it starts them elsewhere."""
    place = ArmPlace(tmp_path)
    for done in (place.run, place.fail, place.measure_arm, place.choose, place.evaluate):
        first = process()
        assert lease_gpu(GPUS[:1], tmp_path) == 0
        done()
        assert first == {}
        process()
        assert lease_gpu(GPUS[:1], tmp_path) == 0
        gpu_lease.release_gpus()


@pytest.mark.parametrize(
    ("is_in_group", "fails", "frees"), [(True, True, False), (True, False, True), (False, True, True)]
)
def test_after_an_error_under_torchrun_nothing_waits_for_the_gpu(is_in_group, fails, frees, monkeypatch):
    """Which may wait for a process that is gone."""
    freed = []
    monkeypatch.setattr(device_module.dist, "is_initialized", lambda: is_in_group)
    monkeypatch.setattr(device_module, "free_device_memory", lambda: freed.append(True))
    with suppress(RuntimeError):
        try:
            if fails:
                raise RuntimeError("Connection closed by peer")
        finally:
            device_module.hand_back_gpu()
    assert bool(freed) is frees


class ArmPlace:
    """What sets the device up and is done with it while the process goes on."""

    def __init__(self, folder):
        self.folder = folder
        self.configuration = composed(*TINY, *OFF, "schedule.length.epochs=1")

    def run(self):
        run(RunRequest(configuration=self.configuration, directory=self.folder / "run"), Listener())

    def fail(self):
        with pytest.raises(ConfigError):
            run(RunRequest(configuration=composed(*TINY, *OFF), directory=self.folder / "run"), Listener())

    def evaluate(self):
        evaluation = SavedEvaluation(
            weights=self.folder / "run" / "model.safetensors",
            description=self.folder / "run" / "model.json",
            training_fingerprint="",
            configuration=self.configuration,
            asked=frozenset(),
        )
        evaluate_saved(evaluation, self.folder / "evaluated")

    def measure_arm(self):
        measure_arm(SimpleNamespace(configuration=self.configuration), 0.0)

    def choose(self):
        asking = composed(*TINY, *OFF, "runtime=auto", "runtime.measure=[channels_last]", "runtime.device=cpu")
        choose_runtime(asking, self.folder / "auto")


@pytest.mark.parametrize(
    ("asked", "size", "index"), [("auto", 1, 1), ("cuda", 1, 1), ("cuda:0", 1, 0), ("cuda", 2, 0), ("cpu", 1, None)]
)
def test_only_a_process_alone_that_names_no_gpu_leases_one_and_all_hold_theirs(
    process, monkeypatch, caplog, tmp_path, asked, size, index
):
    """The first of two GPUs is in use: what may choose takes the second, and nothing waits."""
    used, told = [], []
    monkeypatch.setattr(gpu_lease.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda gpu: SimpleNamespace(uuid=f"uuid-{gpu}"))
    monkeypatch.setattr(torch.cuda, "set_device", used.append)
    monkeypatch.setattr(device_module, "set_numerics", lambda *_: None)
    world = World(size=size)
    monkeypatch.setattr(device_module.distributed, "read_world", lambda: world)
    monkeypatch.setattr(device_module.distributed, "join_process_group", lambda _, shares: told.append(shares) or world)
    experiment = composed(*TINY, *OFF, f"runtime.device={asked}").experiment
    other = process()
    assert hold_gpu("uuid-0")
    held, picked = process(), torch.device("cpu") if index is None else torch.device("cuda", index)
    assert device_module.set_up_process(experiment) == (world, picked)
    assert used == ([] if index is None else [picked])
    assert [*held] == (["uuid-1"] if index == 1 else [])
    assert told == [asked == "cuda:0" or size == 2]
    other.popitem()[1].release()
    process()
    assert device_module.set_up_process(experiment)[0] == world
    assert [*gpu_lease._held] == ([] if index is None else ["uuid-0"])
