"""The processes of a run with torchrun: each gets every world_size-th image of a batch, rank 0 writes files.

Source: https://docs.pytorch.org/docs/stable/elastic/run.html (the environment variables)
"""

import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from sota_exp.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class World:
    """This process among the processes of the run."""

    rank: int = 0
    local_rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def wait(self) -> None:
        """Wait until every process has called this."""
        if self.size > 1:
            dist.barrier()


def join_process_group(device_type: str) -> World:
    """Initialize the process group of torchrun's environment variables; without them, a world of one process."""
    if "WORLD_SIZE" not in os.environ or int(os.environ["WORLD_SIZE"]) == 1:
        return World()
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device_type == "cuda" else "gloo")
    return World(rank=dist.get_rank(), local_rank=int(os.environ["LOCAL_RANK"]), size=dist.get_world_size())


def wrap_in_ddp(model: nn.Module, world: World, device: torch.device) -> nn.Module:
    """The model, wrapped so that its backward pass averages gradients over all processes.

    Raises:
        ConfigError: synchronized batch norm on a device without it.
    """
    if world.size == 1:
        return model
    if device.type != "cuda" and any(isinstance(module, nn.SyncBatchNorm) for module in model.modules()):
        raise ConfigError(
            f"regularization/norm=sync_batch: torch synchronizes batch norm on CUDA devices only; these "
            f"{world.size} processes are on runtime.device={device.type}; legal there: batch, ghost_batch, group"
        )
    # `model/tuning` may freeze parameters for some epochs, so the set of parameters with gradients changes.
    devices = [device] if device.type == "cuda" else None
    return nn.parallel.DistributedDataParallel(model, device_ids=devices, find_unused_parameters=True)


def average_norm_statistics(model: nn.Module, world: World) -> None:
    """Average all float buffers (statistics of norm layers) over all processes; other buffers are those of rank 0.

    Buffers that are equal on all processes are left bitwise unchanged.
    """
    if world.size == 1:
        return
    for buffer in model.buffers():
        main = buffer.clone()
        dist.broadcast(main, 0)
        if buffer.is_floating_point():
            difference = buffer - main
            dist.all_reduce(difference)
            main += difference / world.size
        buffer.copy_(main)


def broadcast_from_main(value: object, world: World) -> Any:
    """The `value` of rank 0, on every process."""
    if world.size == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box)
    return box[0]


@functools.lru_cache(maxsize=1)
def _make_cpu_group(whole: object) -> Any:
    """A group of all processes for tensors on the CPU, with collectives of its own. whole: the group of the run."""
    return dist.new_group(backend="gloo")


def gather_on_main(value: object, world: World) -> list[Any]:
    """The `value` of every process, by rank; [] on others than rank 0. Tensors in it are copied to the CPU."""
    if world.size == 1:
        return [value]
    values: list[Any] = [None] * world.size
    dist.gather_object(value, values if world.is_main else None, group=_make_cpu_group(dist.group.WORLD))
    return values if world.is_main else []


class Agreement:
    """The largest numbers that any process asked for, the same on all of them: with several, of the call before.

    So no process waits for another in the middle of a step, and none for its device.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.asked: tuple[Any, Tensor] | None = None

    def reach(self, *numbers: int) -> Sequence[int]:
        """Ask for `numbers`; returns those of this call where this process is alone, else of the call before, or 0."""
        if self.world.size == 1:
            return numbers
        before = self.finish() or [0] * len(numbers)
        mine = torch.tensor(numbers)
        group = _make_cpu_group(dist.group.WORLD)
        self.asked = dist.all_reduce(mine, dist.ReduceOp.MAX, group=group, async_op=True), mine
        return before

    def finish(self) -> list[int] | None:
        """The numbers of the last call; None if there was none. Every process calls it, or none."""
        if self.asked is None:
            return None
        work, numbers = self.asked
        work.wait()
        self.asked = None
        found: list[int] = numbers.tolist()
        return found


def gather_interleaved(rows: Tensor, world: World) -> Tensor:
    """Gather rows [n_r, …], which rank r computed for positions r, r + size, …, into all rows [N, …], in order."""
    if world.size == 1:
        return rows
    parts: list[Tensor] = [torch.empty(0)] * world.size
    dist.all_gather_object(parts, rows.cpu())
    gathered = rows.new_empty((sum(len(part) for part in parts), *rows.shape[1:]), device="cpu")
    for rank, part in enumerate(parts):
        gathered[rank :: world.size] = part
    return gathered
