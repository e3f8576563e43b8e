"""The processes of a run with torchrun: each gets every world_size-th image of a batch, rank 0 writes files.

Source: https://docs.pytorch.org/docs/stable/elastic/run.html (the environment variables)
"""

import copy
import functools
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from sota_exp.config.rules.conditions import count_processes
from sota_exp.errors import ConfigError, RunFailed, error_to_failure, in_a_line
from sota_exp.models.parts import unsynchronize_norms
from sota_exp.runs.environment import get_rank
from sota_exp.training.members import introduce

#: How long processes wait for one that decodes a large set for the first time; PyTorch alone gives up after 30 minutes.
LONGEST_WORK_ALONE = timedelta(days=2)

Value = TypeVar("Value")


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
            dist.all_reduce(torch.zeros(1))  # `barrier` would use the GPU, and wait for what it is doing.


def read_world() -> World:
    """This process among those that torchrun started, by its environment variables."""
    size, local_rank = count_processes(), int(os.environ.get("LOCAL_RANK", "0"))
    return World(rank=get_rank(), local_rank=local_rank, size=size) if size > 1 else World()


def join_process_group(device: torch.device, shares_gpu: bool = False) -> World:
    """Initialize the process group of torchrun's environment variables; without them, a world of one process.

    shares_gpu: whether another job uses the GPU, which the first process says.
    Tensors on GPUs travel by NCCL, which connects the first time that one does; all else, objects too, by gloo.

    Raises:
        ConfigError: two processes have the same GPU.
    """
    world = read_world()
    if world.size > 1 and not dist.is_initialized():
        on_gpu = device.type == "cuda"
        # With a `device_id` NCCL would connect here, and fail in its own words where two processes have one GPU.
        dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo")
        introduce(str(torch.cuda.get_device_properties(device).uuid) if on_gpu else "", shares_gpu)
        _make_patient_group(dist.group.WORLD)  # While all are here: to make it, they wait for each other.
    return world


def leave_process_group() -> None:
    """End the process group, if this process joined one: the opposite of `join_process_group`, once all is done well.

    After a failure the others may not be there to end it with.
    """
    if dist.is_initialized():
        dist.destroy_process_group()


def has_unused_parameters(model: nn.Module, size: int) -> bool:
    """Whether the output for crops of `size` pixels leaves a parameter without a gradient; True where it is unknown."""
    try:
        network = unsynchronize_norms(copy.deepcopy(model)).to("meta").train()
        network(torch.zeros(2, 3, size, size, device="meta")).sum().backward()
    except Exception:  # what a network reads of its values
        return True
    return any(parameter.grad is None for parameter in network.parameters() if parameter.requires_grad)


def wrap_in_ddp(model: nn.Module, world: World, device: torch.device, some_are_unused: bool) -> nn.Module:
    """The model, wrapped so that its backward pass averages gradients over all processes.

    some_are_unused: whether a step may leave parameters without a gradient; looking for them takes time.

    Raises:
        ConfigError: synchronized batch norm on a device without it.
    """
    if world.size == 1:
        return model
    require_synchronizing(model, world, device)
    wrapped = nn.parallel.DistributedDataParallel(
        model,
        device_ids=[device] if device.type == "cuda" else None,
        find_unused_parameters=some_are_unused,
        gradient_as_bucket_view=True,
    )
    # Statistics of norm layers stay those of each process until `average_norm_statistics`. DDP would replace them by
    # those of rank 0 before each step. The argument of this name is deprecated, its successor not in all versions.
    wrapped.broadcast_buffers = False
    return wrapped


def require_synchronizing(model: nn.Module, world: World, device: torch.device) -> None:
    """Check that the processes can gather the statistics of synchronized batch norms, if there are any.

    Raises:
        ConfigError: they can't on this device.
    """
    if device.type != "cuda" and any(isinstance(module, nn.SyncBatchNorm) for module in model.modules()):
        raise ConfigError(
            f"regularization/norm=sync_batch: torch synchronizes batch norm on CUDA devices only; these "
            f"{world.size} processes are on runtime.device={device.type}; legal there: batch, ghost_batch, group"
        )


def keep_gradients_apart(wrapped: nn.Module, world: World, apart: bool) -> AbstractContextManager[Any]:
    """A context in which backward passes add up gradients of this process alone: of all micro-batches but the last."""
    return cast(Any, wrapped).no_sync() if apart and world.size > 1 else nullcontext()


def average_totals(totals: Mapping[str, Tensor], world: World) -> dict[str, float]:
    """The mean over all processes of scalar tensors on the device, which is waited for once."""
    if not totals:
        return {}
    world.wait()  # Where another process is gone the device waits for it, and this process would for the device.
    values = torch.stack([total.double() for total in totals.values()]).cpu()
    if world.size > 1:
        dist.all_reduce(values)
    return dict(zip(totals, (values / world.size).tolist(), strict=True))


def average_norm_statistics(model: nn.Module, world: World) -> None:
    """Average all float buffers (statistics of norm layers) over all processes; other buffers are those of rank 0.

    Buffers that are equal on all processes are left bitwise unchanged.
    """
    if world.size == 1:
        return
    world.wait()  # As in `average_totals`: what follows may run on the device.
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


def compute_on_main(function: Callable[[], Value], world: World) -> Value:
    """What `function` returns on rank 0, on every process: other machines need not have the files that it reads.

    The others wait for up to `LONGEST_WORK_ALONE`, where all else is waited for as long as PyTorch does.

    Raises:
        ConfigError, RunFailed: `function` raised it on rank 0. All else that it raised is a `RunFailed` elsewhere.
    """
    failure: Exception | None = None
    value: Value | None = None
    said: tuple[bool, str] | None = None
    if world.is_main:
        try:
            value = function()
        except Exception as error:  # else the others would wait for an answer
            known = error if isinstance(error, ConfigError) else error_to_failure(error)
            failure, said = error, (isinstance(error, ConfigError), str(known or in_a_line(error)))
    wait_for_main(world)
    value, said = broadcast_from_main((value, said), world)
    if said is not None:
        raise failure or (ConfigError if said[0] else RunFailed)(said[1])
    return cast(Value, value)


def wait_for_main(world: World) -> None:
    """Wait until every process has called this, for up to `LONGEST_WORK_ALONE`."""
    if world.size > 1:
        dist.all_reduce(torch.zeros(1), group=_make_patient_group(dist.group.WORLD))


@functools.lru_cache(maxsize=1)
def _make_cpu_group(whole: object) -> Any:
    """A group of all processes for tensors on the CPU, with collectives of its own. whole: the group of the run."""
    return dist.new_group(backend="gloo")


@functools.lru_cache(maxsize=1)
def _make_patient_group(whole: object) -> Any:
    """A group of all processes in which one may be waited for long. whole: the group of the run."""
    return dist.new_group(backend="gloo", timeout=LONGEST_WORK_ALONE)


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

    def settle(self, *numbers: int) -> Sequence[int]:
        """Ask for `numbers`, wait for the others, and return those of this call."""
        found = self.reach(*numbers)
        return self.finish() or found

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
