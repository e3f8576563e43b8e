"""What a training would run on: the device that is picked, whether a step works there, and how many threads it gets."""

import os
import sys
import time

import psutil
import torch
from torch import nn

from sota_exp.errors import ConfigError, first_line
from sota_exp.preview.doctor.finding import Finding, in_bytes, note, ok, problem
from sota_exp.training.device import device_name, pick_device


def device(asked: str) -> list[Finding]:
    """The device of `runtime.device`, a step on it, GPUs that PyTorch does not see, and threads."""
    try:
        picked = pick_device(asked)
    except ConfigError as error:
        return [problem("device", str(error), "runtime.device=auto"), *unseen_gpus()]
    return [step_on(picked), *unseen_gpus(), *threads(picked)]


def step_on(picked: torch.device) -> Finding:
    """One small training step, forward and backward, in single precision and in bf16."""
    name = device_name(picked)
    try:
        seconds = [timed_step(picked, dtype) for dtype in (torch.float32, torch.bfloat16)]
    except RuntimeError as error:
        reason = first_line(error)
        return problem("device", f"{name}: a training step fails: {reason}", "another driver, or runtime.device=cpu")
    said = f"{name}; a small step works in fp32 and bf16 ({1e3 * seconds[0]:.0f} and {1e3 * seconds[1]:.0f} ms)"
    return ok("device", f"{said}; {memory(picked)}")


def timed_step(picked: torch.device, dtype: torch.dtype) -> float:
    """Seconds of the second of two equal steps, the first of which picks kernels."""
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


def memory(picked: torch.device) -> str:
    if picked.type == "cuda":
        free, total = torch.cuda.mem_get_info(picked)
    else:
        free, total = psutil.virtual_memory().available, psutil.virtual_memory().total
    return f"{in_bytes(free)} of {in_bytes(total)} memory free"


def unseen_gpus() -> list[Finding]:
    """A problem where the driver knows GPUs that PyTorch does not."""
    num = driver_gpus()
    if num == 0 or torch.cuda.is_available():
        return []
    said = f"the driver lists {num} NVIDIA GPU{'s' if num > 1 else ''}, and PyTorch {torch.__version__} sees none"
    why = "its CUDA is newer than the driver allows" if torch.version.cuda else "it is a build without CUDA"
    return [problem("device", f"{said}: {why}", "a build from https://pytorch.org/get-started for this driver")]


def driver_gpus() -> int:
    """How many GPUs NVIDIA's management library lists; 0 without a driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return 0
    try:
        return int(pynvml.nvmlDeviceGetCount())
    finally:
        pynvml.nvmlShutdown()


def threads(picked: torch.device) -> list[Finding]:
    """A note where PyTorch uses other than the processors that this process may use."""
    allowed, used = processors(), torch.get_num_threads()
    if picked.type != "cpu" or used == allowed:
        return []
    few = f"PyTorch uses {used} thread{'' if used == 1 else 's'}, and this process may use {allowed} processors"
    return [note("device", few, f"runtime.threads={allowed}, or OMP_NUM_THREADS={allowed}")]


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
