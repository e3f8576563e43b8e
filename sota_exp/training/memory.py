"""Memory of the process: options of the allocator, and peak use.

glibc returns every block above 32 MiB to the system as soon as it is freed, and in the next step the system clears each
of its pages again: at 128 px this took half of the time of augmentation, and more than half of that of normalization.

Source: https://man7.org/linux/man-pages/man3/mallopt.3.html
"""

import contextlib
import ctypes
import gc
import resource
import sys
import traceback
from pathlib import Path

import torch

#: glibc's options: the size from which a block is mapped on its own, and the free memory above which it is returned.
M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -3, -1


def reuse_freed_memory() -> bool:
    """Let the allocator reuse freed blocks of up to 1 GiB; returns whether it can (only glibc can)."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False  # another C library
    return all(mallopt(*setting) == 1 for setting in ((M_MMAP_THRESHOLD, 2**30), (M_TRIM_THRESHOLD, 2**31 - 1)))


def forget_locals(error: BaseException) -> None:
    """Drop the local variables of the calls that ended with an error, and with those that led to it.

    They hold the network, its gradients and activations as long as anybody keeps the error, as Hydra does for a job.
    """
    seen: list[BaseException] = []
    rest: list[BaseException | None] = [error]
    while rest:
        if (each := rest.pop()) is not None and each not in seen:
            traceback.clear_frames(each.__traceback__)
            seen.append(each)
            rest += [each.__cause__, each.__context__]


def free_device_memory() -> None:
    """Hand back what an earlier run of this process, such as one that failed, still holds of a GPU."""
    if torch.cuda.is_initialized():
        gc.collect()
        torch.cuda.empty_cache()


def reset_peak_memory(device: torch.device) -> None:
    """Reset the peak of memory, so that earlier runs of this process are not counted."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")


def get_peak_memory(device: torch.device) -> int:
    """Peak memory in bytes since `reset_peak_memory`: of the accelerator, or resident memory of this process on a CPU.

    Where the system cannot reset the peak (only Linux can), since the start of the process.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def get_total_memory(device: torch.device) -> int | None:
    """Bytes of a GPU's memory; None for another device."""
    return int(torch.cuda.get_device_properties(device).total_memory) if device.type == "cuda" else None
