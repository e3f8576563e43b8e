"""The processes of a run with torchrun, as they introduce themselves: no two on one GPU, and who of them has ended.

gloo names an address at best, and NCCL waits for minutes; a process of this machine that is gone is named by its rank,
and one of any machine that failed with its reason, which it leaves in the store of the group.
"""

import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import torch.distributed as dist

from sota_exp.data.shared_listing import listed_since
from sota_exp.errors import OTHER_PROCESS, ConfigError, RunFailed, error_to_failure, in_a_line
from sota_exp.runs.lock import is_process_alive
from sota_exp.stages.data import DataSet

log = logging.getLogger(__name__)

#: Seconds to wait until a process is gone whose connections are.
SECONDS_TO_END = 2.0

#: Seconds that the store is waited for after an error: it may have ended with its process.
SECONDS_OF_STORE = 5.0

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


def open_together(open_data: Callable[[], DataSet]) -> DataSet:
    """The data that `open_data` opens; a process that comes late uses the listing that one of its machine just made."""
    arrived = [(get_machine(), time.time())]
    if dist.is_initialized():
        arrived *= dist.get_world_size()
        dist.all_gather_object(arrived, arrived[0])
    with listed_since(min(moment for machine, moment in arrived if machine == get_machine())):
        return open_data()


class OtherFailed(RunFailed):
    """Another process of the run failed or ended."""


@contextmanager
def naming_lost_processes() -> Iterator[None]:
    """While entered, an error of a connection names the process of the run that ended, with its reason if it told one.

    Raises:
        OtherFailed: such an error.
    """
    leave_reason("")
    try:
        yield
    except OtherFailed:
        raise
    except Exception as error:
        said = str(error if isinstance(error, ConfigError) else error_to_failure(error) or in_a_line(error))
        if not _members or not said.startswith(OTHER_PROCESS):
            leave_reason(said)
            raise
        raise OtherFailed(find_reason() or said.replace(OTHER_PROCESS, describe_lost(), 1)) from error


def leave_reason(reason: str) -> None:
    """Tell the others why this process fails; "" as it begins."""
    with suppress(RuntimeError, ValueError):  # no store any more, or no group
        dist.distributed_c10d._get_default_store().set(f"sota_exp/{dist.get_rank()}", reason)


def find_reason() -> str | None:
    """Which process failed, and the reason that it left; None if none did."""
    with suppress(RuntimeError, ValueError):
        store = dist.distributed_c10d._get_default_store()
        store.set_timeout(timedelta(seconds=SECONDS_OF_STORE))
        for rank, member in enumerate(_members):
            key = f"sota_exp/{rank}"
            if store.check([key]) and (reason := store.get(key).decode()):
                return f"{describe_member(rank, member)} of this run failed: {reason}"
    return None


def describe_member(rank: int, member: dict[str, Any]) -> str:
    return f"process {rank} (pid {member['pid']} on {member['host']})"


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
            describe_member(rank, member)
            for rank, member in enumerate(_members)
            if member["machine"] == here and not is_process_alive(member)
        ]
        if ended:
            return ", ".join(ended)
        if time.monotonic() > until:
            return f"a process on {', '.join(others)}" if others else OTHER_PROCESS
        time.sleep(0.05)
