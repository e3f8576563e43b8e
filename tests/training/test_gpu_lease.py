import logging
import threading
from types import SimpleNamespace

import pytest
import torch

from sota_exp.errors import ConfigError
from sota_exp.study.cost_estimate import measure_arm
from sota_exp.training import device as device_module
from sota_exp.training import gpu_lease
from sota_exp.training.autotune import choose_runtime
from sota_exp.training.distributed import World
from sota_exp.training.gpu_lease import lease_gpu
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


def test_a_folder_that_can_not_be_written_to_stops_no_training(process, tmp_path, caplog):
    process()
    (tmp_path / "file").touch()
    assert lease_gpu(GPUS, tmp_path / "file") == 0
    assert "other jobs may use the same GPU" in caplog.text


def test_a_gpu_is_handed_back_after_a_job_though_its_process_goes_on(process, tmp_path):
    """A worker of joblib idles beside others that wait; a study measures its arms before it starts them elsewhere."""
    place = ArmPlace(tmp_path)
    for done in (place.run, place.fail, place.measure_arm, place.choose):
        first = process()
        assert lease_gpu(GPUS[:1], tmp_path) == 0
        done()
        assert first == {}
        process()
        assert lease_gpu(GPUS[:1], tmp_path) == 0
        gpu_lease.release_gpus()


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

    def measure_arm(self):
        measure_arm(SimpleNamespace(configuration=self.configuration), 0.0)

    def choose(self):
        asking = composed(*TINY, *OFF, "runtime=auto", "runtime.measure=[channels_last]", "runtime.device=cpu")
        choose_runtime(asking, self.folder / "auto")


@pytest.mark.parametrize(
    ("asked", "size", "index"), [("auto", 1, 1), ("cuda", 1, 1), ("cuda:0", 1, 0), ("cuda", 2, 0), ("cpu", 1, None)]
)
def test_only_a_process_alone_that_names_no_gpu_leases_one(process, monkeypatch, asked, size, index):
    process()
    used = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda gpu: SimpleNamespace(uuid=f"uuid-{gpu}"))
    monkeypatch.setattr(torch.cuda, "set_device", used.append)
    monkeypatch.setattr(device_module, "lease_gpu", lambda identities: len(identities) - 1)
    monkeypatch.setattr(device_module, "set_numerics", lambda *_: None)
    world = World(size=size)
    monkeypatch.setattr(device_module.distributed, "read_world", lambda: world)
    monkeypatch.setattr(device_module.distributed, "join_process_group", lambda device: world)
    experiment = composed(*TINY, *OFF, f"runtime.device={asked}").experiment
    picked = torch.device("cpu") if index is None else torch.device("cuda", index)
    assert device_module.set_up_process(experiment) == (world, picked)
    assert used == ([] if index is None else [picked])
