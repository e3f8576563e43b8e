"""The device of a run and the number of its threads."""

import functools
import logging
import math
import os
import platform
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import torch
import torch.distributed as dist

from sota_exp.config.experiment import Experiment, RuntimeSettings
from sota_exp.errors import ConfigError
from sota_exp.training import distributed
from sota_exp.training.distributed import World
from sota_exp.training.gpu_lease import hold_gpu, lease_gpu, release_gpus
from sota_exp.training.memory import forget_locals, free_device_memory, reuse_freed_memory

log = logging.getLogger(__name__)

#: Control groups, and the names of those of this process. The time of one is in its `cpu.max`: microseconds of CPU, or
#: "max", in so many of a clock.
CGROUPS, OWN_CGROUP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
CPU_MAX_OF_VERSION_1 = [CGROUPS / "cpu" / f"cpu.cfs_{name}_us" for name in ("quota", "period")]


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


def count_usable_cpus() -> int:
    """CPUs that this process may use: those of its affinity, and no more than its control group's share of time.

    Of those that torchrun starts on a machine, each may use its part, unless torchrun has bound it to CPUs of its own.
    """
    num_processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if not sys.platform.startswith("linux"):
        return max(1, (os.cpu_count() or 1) // num_processes)
    own = os.sched_getaffinity(0)
    is_bound = False
    with suppress(OSError):  # no parent that is seen here
        is_bound = own != os.sched_getaffinity(os.getppid())
    num = len(own) if is_bound else max(1, len(own) // num_processes)
    for files in (*([group / "cpu.max"] for group in list_control_groups()), CPU_MAX_OF_VERSION_1):
        with suppress(OSError, ValueError):  # no control group of this version, or "max"
            quota, period = (int(word) for file in files for word in file.read_text().split())
            share = math.ceil(quota / period) // num_processes
            num = max(1, min(num, share)) if quota > 0 else num
    return num


def list_control_groups() -> list[Path]:
    """The folders of the control groups of this process, innermost first: systemd and batch systems nest them."""
    own = "0::/"
    with suppress(OSError):
        own = next((line for line in OWN_CGROUP.read_text().splitlines() if line.startswith(own)), own)
    folder = CGROUPS / own.removeprefix("0::/")
    return [folder, *(each for each in folder.parents if each.is_relative_to(CGROUPS))]


def set_up_process(
    experiment: Experiment, choose_gpu: Callable[[Sequence[str]], int] = lease_gpu
) -> tuple[World, torch.device]:
    """This process among those of the run, and its device; sets the number of threads and the allocator's options.

    choose_gpu: identities of the GPUs → the index of one, for a process alone that names none.
    """
    reuse_freed_memory()
    free_device_memory()
    asked, world = experiment.runtime.device, distributed.read_world()
    device, is_shared = pick_device(asked, world), False
    if device.type == "cuda":
        chooses = world.size == 1 and ":" not in asked
        if chooses:
            device = torch.device("cuda", choose_gpu([*map(get_gpu_identity, range(torch.cuda.device_count()))]))
        torch.cuda.set_device(device)  # Else libraries would open GPU 0 in every process.
        # A rank does not wait: two runs that each have a part of the other's GPUs would wait for ever.
        is_shared = not chooses and not hold_gpu(get_gpu_identity(device.index))
    world = distributed.join_process_group(device, is_shared)
    set_numerics(experiment.runtime, device)
    # Set in every run, so that a run does not inherit the number of threads of an earlier run of this process.
    torch.set_num_threads(experiment.runtime.threads or get_default_threads())
    return world, device


def get_gpu_identity(index: int) -> str:
    """What a GPU is known by to all processes of this machine, whatever its number in each."""
    return str(torch.cuda.get_device_properties(index).uuid)


def hand_back_gpu() -> None:
    """Free the GPU's memory, and let other jobs have it: the opposite of `set_up_process`, once a job is done.

    With an error under torchrun nothing is freed: that waits for the GPU, which may wait for a process that is gone.
    """
    if (error := sys.exc_info()[1]) is not None:
        forget_locals(error)
    if error is None or not dist.is_initialized():
        free_device_memory()
    release_gpus()


def set_numerics(runtime: RuntimeSettings, device: torch.device) -> None:
    """Set what PyTorch leaves to itself on CUDA: by default it convolves in TF32, and picks kernels by their speed.

    Raises:
        ConfigError: the device does not compute in `runtime.precision`.
    """
    on_cuda, is_tf32 = device.type == "cuda", runtime.precision == "tf32"
    if is_tf32 and not on_cuda:
        raise ConfigError(
            f"runtime.precision=tf32: only CUDA computes in it, not {device.type}; legal: fp32, bf16, fp16"
        )
    if runtime.precision == "bf16" and on_cuda and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise ConfigError("runtime.precision=bf16: this GPU has no bf16; legal: fp32, fp16")
    torch.set_float32_matmul_precision("high" if is_tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = is_tf32
    torch.backends.cudnn.benchmark = on_cuda and not runtime.deterministic
    torch.use_deterministic_algorithms(runtime.deterministic and on_cuda)


def get_cuda_versions(device: torch.device) -> dict[str, str]:
    """Versions of what computes on a CUDA device, by name; {} for another one."""
    if device.type != "cuda":
        return {}
    import pynvml

    driver = "unknown"  # where NVIDIA's management library is missing: under WSL, in some containers, on AMD's GPUs
    with suppress(pynvml.NVMLError):
        pynvml.nvmlInit()
        driver = str(pynvml.nvmlSystemGetDriverVersion())
    return {"cuda": str(torch.version.cuda), "cudnn": str(torch.backends.cudnn.version()), "driver": driver}


def pick_device(name: str, world: World | None = None) -> torch.device:
    """`auto`: this process's CUDA device, else MPS, else the CPU. world: this process among those of a run.

    Raises:
        ConfigError: this machine has no such device, or not one for each process.
    """
    world, num_gpus = world or World(), torch.cuda.device_count() if torch.cuda.is_available() else 0
    has_mps = torch.backends.mps.is_available()
    legal = ["auto", "cpu", *["mps"] * has_mps, *["cuda"] * (num_gpus > 0), *(f"cuda:{gpu}" for gpu in range(num_gpus))]
    if name not in legal:
        raise ConfigError(f"runtime.device={name} is not on this machine; it has: {', '.join(legal[1:])}")
    if name == "auto":
        name = "cuda" if num_gpus else "mps" if has_mps else "cpu"
    if world.size > 1 and name.partition(":")[0] == "mps":
        raise ConfigError(f"runtime.device={name}: {world.size} processes train on cuda or cpu only")
    if world.size > 1 and ":" in name:
        raise ConfigError(f"runtime.device={name}: {world.size} processes can't share a GPU; legal: cuda, one for each")
    if name != "cuda":
        return torch.device(name)
    # Where a launcher shows each process one GPU (CUDA_VISIBLE_DEVICES), that one is number 0 for all of them.
    index = 0 if num_gpus == 1 else world.local_rank
    if index >= num_gpus:
        raise ConfigError(
            f"runtime.device={name}: process {index} of this machine has no GPU, as there are {num_gpus}; "
            f"legal: torchrun --nproc-per-node={num_gpus}"
        )
    return torch.device("cuda", index)
