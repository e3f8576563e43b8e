"""What came out of a run: the content of `result.json`, and the facts about machine and model that go into it."""

import functools
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from sota_exp.formats import FORMAT

STATUSES = ("finished", "stopped_early", "pruned", "failed", "interrupted")


@functools.cache
def versions() -> dict[str, str]:
    """Of Python and of the packages that decide the numbers."""
    packages = ("sota-exp", "torch", "torchvision", "timm", "numpy", "hydra-core")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


@functools.cache
def commit() -> str | None:
    """The git commit, `-dirty` where it is changed, of this package where it runs from a checkout, else of the working directory;
    None outside a repository."""
    package = Path(__file__).resolve().parent
    place = package if _git(package, "ls-files", "--error-unmatch", Path(__file__).name) else Path.cwd()
    return _git(place, "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*") or None


def _git(place: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=10, check=True, cwd=place)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


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


def flops_per_image(network: nn.Module, size: int) -> int:
    """Floating-point operations (two a multiply-add) of one forward pass on a size × size image."""
    was_training = network.training
    weight = next(network.parameters())
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(torch.zeros(1, 3, size, size, device=weight.device))
    network.train(was_training)
    return counter.get_total_flops()


def parameter_count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def empty_result(seed: int, choices: dict[str, str], fingerprints: tuple[str, str], resumed: int) -> dict[str, Any]:
    """A result before anything came out, in the order of the keys of `result.json`."""
    return {
        "format": FORMAT,
        "status": "failed",
        "reason": None,
        "fingerprint": fingerprints[1],
        "training_fingerprint": fingerprints[0],
        "seed": seed,
        "choices": choices,
        "metrics": {},
        "evaluated_images": {},
        "steps": 0,
        "images_seen": 0,
        "distinct_images": 0,
        "start": None,
        "resumed": resumed,
        "seconds": {},
        "images_per_second": None,
        "peak_memory_bytes": None,
        "parameters": None,
        "flops_per_image": None,
        "train_flops_per_image": None,
        "device": None,
        "versions": versions(),
        "commit": commit(),
        "mlflow_run_id": None,
    }
