"""The device of a run and the number of its threads."""

import functools
import platform
from pathlib import Path

import torch

from sota_exp.config.experiment import Experiment
from sota_exp.errors import ConfigError
from sota_exp.training import distributed
from sota_exp.training.distributed import World
from sota_exp.training.memory import reuse_freed_memory


def synchronize_device(device: torch.device) -> None:
    """Wait until the accelerator has finished all queued work."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def copy_to_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The tensor [...] on the device. Only from pinned memory does CUDA copy while the host goes on."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def get_device_name(device: torch.device) -> str:
    """`cpu: AMD EPYC…, 2 threads`, or the accelerator's own name."""
    if device.type == "cuda":
        return f"{device}: {torch.cuda.get_device_name(device)}"
    num_threads = torch.get_num_threads()
    return f"{device}: {_read_cpu_name()}, {num_threads} thread{'' if num_threads == 1 else 's'}"


@functools.cache
def _read_cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


@functools.cache
def get_default_threads() -> int:
    """The number of PyTorch's threads before the first run of this process."""
    return torch.get_num_threads()


def set_up_process(experiment: Experiment) -> tuple[World, torch.device]:
    """This process among those of the run, and its device; sets the number of threads and the allocator's options."""
    reuse_freed_memory()
    world = distributed.join_process_group("cuda" if torch.cuda.is_available() else "cpu")
    # Set in every run, so that a run does not inherit the number of threads of an earlier run of this process.
    torch.set_num_threads(experiment.runtime.threads or get_default_threads())
    return world, pick_device(experiment.runtime.device, world.local_rank)


def pick_device(name: str, local_rank: int = 0) -> torch.device:
    """`auto`: this process's CUDA device, else MPS, else the CPU.

    Raises:
        ConfigError: this machine has no such device.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", local_rank)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not available[name.split(":")[0]]:
        legal = ", ".join(kind for kind, is_available in available.items() if is_available)
        raise ConfigError(f"runtime.device={name} is not on this machine; it has: {legal}")
    return torch.device("cuda", local_rank) if name == "cuda" else torch.device(name)
