"""The process's own memory: what it has freed it keeps for the next step, instead of giving it back; and whether there is none left.

glibc returns every block above 32 MiB as soon as it is freed, and the next step's first touch of each of its pages waits for the
system to clear it: at 128 px this took half of the time of augmentation, and more than that of normalization.

Source: https://man7.org/linux/man-pages/man3/mallopt.3.html
"""

import contextlib
import ctypes
import resource
import sys
from pathlib import Path

import torch

#: glibc's names for the size from which a block is mapped apart, and for the free memory from which it is given back.
M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -3, -1


def keep_freed_memory() -> bool:
    """Ask the allocator to reuse what is freed, up to blocks of 1 GiB; whether it listens (only glibc does)."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False  # another C library
    return all(mallopt(*setting) == 1 for setting in ((M_MMAP_THRESHOLD, 2**30), (M_TRIM_THRESHOLD, 2**31 - 1)))


def forget_peak(device: torch.device) -> None:
    """Begin to measure the peak anew, so that a run in a process that has made others counts its own."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")


def peak(device: torch.device) -> int:
    """Bytes of the accelerator's allocator, or of this process's resident memory on the CPU, at most since `forget_peak`.

    Where the system can't measure anew (only Linux can), since the start of the process.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocator refused: a device's, Python's, or the CPU's, which raises a `RuntimeError`."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
