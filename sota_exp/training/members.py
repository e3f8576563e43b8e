"""The processes of a run with torchrun, as they introduce themselves: no two on one GPU, and who of them has ended.

gloo names an address at best, and NCCL waits for minutes; a process of this machine that is gone is named by its rank.
"""

import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import torch.distributed as dist

from sota_exp.errors import OTHER_PROCESS, ConfigError, RunFailed, error_to_failure
from sota_exp.runs.lock import is_process_alive

log = logging.getLogger(__name__)

#: Seconds to wait until a process is gone whose connections are.
SECONDS_TO_END = 2.0

#: Of each rank: host, pid and birth of its process, see `is_process_alive`.
_members: list[dict[str, Any]] = []


def introduce(gpu: str, shares_gpu: bool = False) -> None:
    """Tell all processes of the group which this one is, by gloo. gpu: the identity of its GPU; "" on another device.

    shares_gpu: whether another job uses it.

    Raises:
        ConfigError: two processes have the same GPU. Later NCCL would say it in its own words.
    """
    mine = {"host": socket.gethostname(), "pid": os.getpid(), "born": psutil.Process().create_time(), "gpu": gpu}
    mine |= {"machine": get_machine(), "shares_gpu": shares_gpu}
    _members[:] = [{}] * dist.get_world_size()
    dist.all_gather_object(_members, mine)
    for rank, member in enumerate(_members):
        if member["shares_gpu"]:
            log.warning("process %d on %s: another job of sota-exp uses its GPU too", rank, member["host"])
    gpus = [member["gpu"] for member in _members]
    if gpu and (shared := [rank for rank, each in enumerate(gpus) if gpus.count(each) > 1]):
        raise ConfigError(
            f"processes {shared[0]} and {shared[1]} of the run have the same GPU: start one process for each GPU "
            "(torchrun --nproc-per-node=GPUS), or set runtime.device=cpu"
        )


def require_same_inputs(digest: object) -> None:
    """Check that all processes of the group read the same images and weights. digest: of those of this one.

    Raises:
        ConfigError: one reads others.
    """
    if not dist.is_initialized():
        return
    found: list[object] = [None] * dist.get_world_size()
    dist.all_gather_object(found, digest)
    if (other := next((rank for rank, each in enumerate(found) if each != found[0]), None)) is not None:
        raise ConfigError(
            f"process {other} on {_members[other]['host']} reads other images or weights than process 0 on "
            f"{_members[0]['host']}: give all machines the same files, at the same paths"
        )


@contextmanager
def naming_lost_processes() -> Iterator[None]:
    """While entered, an error of a connection names the process of the run that ended.

    Raises:
        RunFailed: such an error.
    """
    try:
        yield
    except Exception as error:
        said = str(error_to_failure(error))
        if not _members or not said.startswith(OTHER_PROCESS):
            raise
        raise RunFailed(said.replace(OTHER_PROCESS, describe_lost(), 1)) from error


def get_machine() -> str:
    """What tells this machine, or container, from others: its name, which others may have, and its last start."""
    start = Path("/proc/sys/kernel/random/boot_id")
    return f"{socket.gethostname()} {start.read_text() if start.is_file() else ''}"


def describe_lost() -> str:
    """The processes of this machine that have ended; if all are there, those of others, of which nothing is known."""
    here, until = get_machine(), time.monotonic() + SECONDS_TO_END
    others = sorted({member["host"] for member in _members if member["machine"] != here})
    while True:
        ended = [
            f"process {rank} (pid {member['pid']} on {member['host']})"
            for rank, member in enumerate(_members)
            if member["machine"] == here and not is_process_alive(member)
        ]
        if ended:
            return ", ".join(ended)
        if time.monotonic() > until:
            return f"a process on {', '.join(others)}" if others else OTHER_PROCESS
        time.sleep(0.05)
