import logging
import threading
from types import SimpleNamespace

import pytest
import torch

from sota_exp.training import device as device_module
from sota_exp.training import gpu_lease
from sota_exp.training.distributed import World
from sota_exp.training.gpu_lease import lease_gpu
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
