"""The device and the threads of a run: chosen, named, waited for."""

import functools
import platform
from pathlib import Path

import torch

from sota_exp.config.experiment import Experiment
from sota_exp.errors import ConfigError
from sota_exp.training import distributed
from sota_exp.training.distributed import World
from sota_exp.training.memory import keep_freed_memory


def finish(device: torch.device) -> None:
    """Wait for what an accelerator has been given to do."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def device_name(device: torch.device) -> str:
    """`cpu: AMD EPYC…, 2 threads`, or the accelerator's own name."""
    if device.type == "cuda":
        return f"{device}: {torch.cuda.get_device_name(device)}"
    num_threads = torch.get_num_threads()
    return f"{device}: {_cpu_name()}, {num_threads} thread{'' if num_threads == 1 else 's'}"


@functools.cache
def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


@functools.cache
def default_threads() -> int:
    """PyTorch's threads as they were before the first run of this process."""
    return torch.get_num_threads()


def on_this_machine(experiment: Experiment) -> tuple[World, torch.device]:
    """This process among those of the run, and its device; sets the number of threads and how memory is kept."""
    keep_freed_memory()
    world = distributed.join("cuda" if torch.cuda.is_available() else "cpu")
    # A run with its own number of threads must not leave it to the next one of this process.
    torch.set_num_threads(experiment.runtime.threads or default_threads())
    return world, pick_device(experiment.runtime.device, world.local_rank)


def pick_device(name: str, local_rank: int = 0) -> torch.device:
    """`auto`: this process's CUDA device, else MPS, else the CPU.

    Raises:
        ConfigError: a device that is not there.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", local_rank)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there[name.split(":")[0]]:
        legal = ", ".join(kind for kind, is_there in there.items() if is_there)
        raise ConfigError(f"runtime.device={name} is not on this machine; it has: {legal}")
    return torch.device("cuda", local_rank) if name == "cuda" else torch.device(name)
