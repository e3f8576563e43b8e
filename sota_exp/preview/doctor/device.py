"""Check of the device: which one is used, whether a training step works there, and the number of threads."""

import time

import psutil
import torch
from torch import nn

from sota_exp.errors import ConfigError, first_line
from sota_exp.preview.doctor.finding import CheckResult, build_note, build_ok, build_problem
from sota_exp.report.numbers import format_quantity
from sota_exp.training.device import count_usable_cpus, get_device_name, pick_device


def check_device(asked: str) -> list[CheckResult]:
    """Findings on `asked`, a value of `runtime.device`: a training step, GPUs that PyTorch does not see, threads."""
    try:
        picked = pick_device(asked)
    except ConfigError as error:
        return [build_problem(str(error), "runtime.device=auto"), *check_unseen_gpus()]
    return [check_training_step(picked), *check_unseen_gpus(), *check_threads(picked)]


def check_training_step(picked: torch.device) -> CheckResult:
    """One small training step, forward and backward, in single precision and in bf16."""
    name = get_device_name(picked)
    try:
        seconds = [time_training_step(picked, dtype) for dtype in (torch.float32, torch.bfloat16)]
    except RuntimeError as error:
        reason = first_line(error)
        return build_problem(
            f"{name}: a training step fails: {reason}", "install another driver, or set runtime.device=cpu"
        )
    text = f"{name}; a small step works in fp32 and bf16 ({1e3 * seconds[0]:.0f} and {1e3 * seconds[1]:.0f} ms)"
    return build_ok(f"{text}; {describe_memory(picked)}")


def time_training_step(picked: torch.device, dtype: torch.dtype) -> float:
    """Seconds of the second of two equal steps; in the first one kernels are chosen."""
    network = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 8, 3)).to(
        picked
    )
    images = torch.zeros(32, 3, 32, 32, device=picked)
    began = 0.0
    for _ in range(2):
        began = time.monotonic()
        with torch.autocast(picked.type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
            loss = network(images).float().square().mean()
        loss.backward()
        loss.item()
    return time.monotonic() - began


def describe_memory(picked: torch.device) -> str:
    """`1.2 GB of 8 GB memory free`, of the accelerator or else of the machine."""
    if picked.type == "cuda":
        free, total = torch.cuda.mem_get_info(picked)
    else:
        free, total = psutil.virtual_memory().available, psutil.virtual_memory().total
    return f"{format_quantity(free, 'B')} of {format_quantity(total, 'B')} memory free"


def check_unseen_gpus() -> list[CheckResult]:
    """A problem if the driver lists GPUs and PyTorch sees none."""
    num = count_driver_gpus()
    if num == 0 or torch.cuda.is_available():
        return []
    text = f"the driver lists {num} NVIDIA GPU{'s' if num > 1 else ''}, and PyTorch {torch.__version__} sees none"
    why = "its CUDA is newer than the driver allows" if torch.version.cuda else "it is a build without CUDA"
    return [build_problem(f"{text}: {why}", "install a build for this driver from https://pytorch.org/get-started")]


def count_driver_gpus() -> int:
    """The number of GPUs that NVIDIA's management library lists; 0 without a driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return 0
    try:
        return int(pynvml.nvmlDeviceGetCount())
    finally:
        pynvml.nvmlShutdown()


def check_threads(picked: torch.device) -> list[CheckResult]:
    """A note if PyTorch does not use one thread per processor that this process may use."""
    allowed, used = count_usable_cpus(), torch.get_num_threads()
    if picked.type != "cpu" or used == allowed:
        return []
    few = f"PyTorch uses {used} thread{'' if used == 1 else 's'}, and this process may use {allowed} processors"
    return [build_note(few, f"runtime.threads={allowed}, or OMP_NUM_THREADS={allowed}")]
