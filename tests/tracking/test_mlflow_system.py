"""Samples of the machine: names that MLflow's page knows, and no failure where there is no GPU."""

import json
import os
from pathlib import Path
from typing import Any

import pynvml
import pytest

from sota_exp.tracking.mlflow_system import Sampler, gpu_sample, open_gpus, sample


def test_processor_memory_and_process_are_measured() -> None:
    values = sample(os.getpid(), [])
    assert 0 <= values["system/cpu_utilization_percentage"] <= 100
    assert 0 < values["system/process_memory_usage_megabytes"] < values["system/system_memory_usage_megabytes"]


def test_names_are_mlflows() -> None:
    from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor

    monitor = CPUMonitor()
    monitor.collect_metrics()
    theirs = {f"system/{name}" for name in monitor.metrics if "utilization" in name or "memory" in name}
    assert theirs <= set(sample(os.getpid(), []))


def test_without_a_driver_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_driver() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", no_driver)
    assert open_gpus() == []


def test_each_gpu_has_its_own_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    class Answer:
        used, total, gpu = 2_000_000, 8_000_000, 70

    monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", lambda gpu: Answer)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetUtilizationRates", lambda gpu: Answer)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetPowerUsage", lambda gpu: 250_000)
    values = sample(os.getpid(), ["first", "second"])
    assert values["system/gpu_1_utilization_percentage"] == 70
    assert values["system/gpu_0_memory_usage_percentage"] == 25
    assert values["system/gpu_0_power_usage_watts"] == 250


def test_a_gpu_that_tells_only_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    class Answer:
        used, total = 1_000_000, 2_000_000

    def not_supported(gpu: Any) -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", lambda gpu: Answer)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetUtilizationRates", not_supported)
    assert gpu_sample("gpu") == {"memory_usage_megabytes": 1.0, "memory_usage_percentage": 50.0}


def test_samples_are_whole_lines(tmp_path: Path) -> None:
    sampler = Sampler(tmp_path, interval=0.05, pid=os.getpid())
    sampler.start()
    while not sampler.path.exists():
        pass
    sampler.stop()
    lines = sampler.path.read_text().splitlines()
    assert lines and all("time" in json.loads(line) for line in lines)
