"""How busy the machine is while a run trains: a line of `system.jsonl` every few seconds, from a thread.

The names are MLflow's own, so that its page for system metrics shows them.
"""

import json
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import psutil


class Sampler(threading.Thread):
    """Appends samples to `<directory>/system.jsonl` until it is stopped; a run of any length has at least one."""

    def __init__(self, directory: Path, interval: float, pid: int) -> None:
        super().__init__(daemon=True)
        self.path = directory / "system.jsonl"
        self.interval, self.pid = interval, pid
        self.stopped = threading.Event()

    def run(self) -> None:
        gpus = open_gpus()
        psutil.cpu_percent()
        wait = min(self.interval, 1.0)
        while not self.stopped.wait(wait):
            wait = self.interval
            try:
                append(self.path, sample(self.pid, gpus))
            except (OSError, psutil.Error):
                continue

    def stop(self) -> None:
        self.stopped.set()
        self.join(timeout=1)


def append(path: Path, values: dict[str, float]) -> None:
    with path.open("a") as file:
        file.write(json.dumps(values) + "\n")


def sample(pid: int, gpus: list[Any]) -> dict[str, float]:
    """Processor and memory of the machine, memory of process `pid`, and each GPU; megabytes are 10⁶ bytes, as MLflow's."""
    memory = psutil.virtual_memory()
    values = {
        "time": time.time(),
        "system/cpu_utilization_percentage": psutil.cpu_percent(),
        "system/system_memory_usage_megabytes": memory.used / 1e6,
        "system/system_memory_usage_percentage": memory.percent,
        "system/process_memory_usage_megabytes": psutil.Process(pid).memory_info().rss / 1e6,
    }
    for number, gpu in enumerate(gpus):
        values |= {f"system/gpu_{number}_{name}": value for name, value in gpu_sample(gpu).items()}
    return values


def open_gpus() -> list[Any]:
    """NVML's handles; none where there is no driver."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pynvml
    try:
        pynvml.nvmlInit()
        return [pynvml.nvmlDeviceGetHandleByIndex(number) for number in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError:
        return []


def gpu_sample(gpu: Any) -> dict[str, float]:
    """What this GPU tells; some tell no utilisation (MIG slices) or no power."""
    import pynvml

    values = {}
    try:
        memory = pynvml.nvmlDeviceGetMemoryInfo(gpu)
        values["memory_usage_megabytes"] = memory.used / 1e6
        values["memory_usage_percentage"] = memory.used / memory.total * 100
        values["utilization_percentage"] = float(pynvml.nvmlDeviceGetUtilizationRates(gpu).gpu)
        values["power_usage_watts"] = pynvml.nvmlDeviceGetPowerUsage(gpu) / 1000
    except pynvml.NVMLError:
        pass
    return values
