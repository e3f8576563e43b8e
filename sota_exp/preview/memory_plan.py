"""The memory of a training step on a GPU, without one: counted on tensors that have shapes and no values.

Not in it: workspaces of cuDNN, what augmentation needs for a moment, and CUDA's own few hundred MB.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from torch.func import functional_call
from torch.utils._pytree import tree_leaves

from sota_exp.models.recompute import find_repeated_blocks, keep_activations
from sota_exp.stages.batch import Batch
from sota_exp.training.loop import TrainingSession, TrainingState
from sota_exp.training.session import HALF_PRECISION

#: The part of a GPU's memory that a training may plan with: the rest is for what is not counted here.
USABLE_SHARE = 0.85


@dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """Bytes on a GPU at the peak of a step.

    weights: parameters and buffers, a teacher's too. average: the averaged copy. activations: what the forward pass of
    `num_images` (a micro-batch, of one process) keeps for its backward pass. images: crops and normalized images.
    keeps_gradients: they stay while activations are made, since micro-batches or processes add up in them.
    """

    weights: int
    gradients: int
    optimizer: int
    average: int
    images: int
    activations: int
    num_images: int
    keeps_gradients: bool

    @property
    def fixed(self) -> int:
        """Bytes whatever the batch."""
        return self.weights + self.optimizer + self.average + (self.gradients if self.keeps_gradients else 0)

    @property
    def peak(self) -> int:
        """While activations are freed, gradients are made, so that not both are there at once."""
        moving = self.activations if self.keeps_gradients else max(self.activations, self.gradients)
        return self.fixed + self.images + moving

    def count_fitting(self, total: int) -> int:
        """The number of images, of a micro-batch and process, for which a GPU of `total` bytes has room; 0 for none."""
        return max(0, int((USABLE_SHARE * total - self.fixed) * self.num_images / (self.images + self.activations)))


def plan_memory(session: TrainingSession, state: TrainingState) -> MemoryPlan | None:
    """The memory of a step of the last epoch; None for a network that can't run on tensors without values.

    In the first epochs a part of the network may be frozen, and needs less.
    """
    experiment, size = session.experiment, session.crops.size
    network = copy.deepcopy(state.model)
    experiment.model.tuning(network, session.last_progress)
    batch = experiment.batch_size // session.world.size
    rows = torch.empty(batch, 1, device="meta")
    micros = experiment.schedule.accumulation(Batch(images=rows, targets=rows, weights=rows, sources=rows))
    sizes = [len(micro) for micro in micros]
    try:
        activations = count_activations(session, network, max(sizes))
        optimizer = count_optimizer(session, network)
    except Exception:  # what a network or an optimizer reads of its values
        return None
    teachers = [each for _, stage in session.pipeline.transforms for each in vars(stage).values()]
    models = [network, *(each for each in teachers if isinstance(each, nn.Module))]
    return MemoryPlan(
        weights=sum(count_bytes(model.state_dict()) for model in models),
        gradients=count_bytes([p for p in network.parameters() if p.requires_grad]),
        optimizer=optimizer,
        average=count_bytes(state.average.state_dict()),
        images=batch * 3 * size**2 * (2 * 1 + 4),  # bytes: crops of this step and the next, normalized images
        activations=activations,
        num_images=max(sizes),
        keeps_gradients=len(sizes) > 1 or session.world.size > 1,
    )


def count_bytes(tree: Any) -> int:
    """Bytes of all tensors in nested dictionaries and lists."""
    return sum(leaf.numel() * leaf.element_size() for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))


def count_optimizer(session: TrainingSession, model: nn.Module) -> int:
    """Bytes of the optimizer's state after a step, which is taken on the `meta` device."""
    experiment, network = session.experiment, copy.deepcopy(model).to("meta")
    groups = experiment.regularization.weight_decay(network, experiment.optimizer.weight_decay)
    optimizer = experiment.optimizer(experiment.model.tuning.groups(network, groups))
    for group in optimizer.param_groups:
        group |= {name: False for name in ("fused", "foreach") if name in group}  # not there on `meta`
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    return count_bytes(dict(optimizer.state))


def count_activations(session: TrainingSession, network: nn.Module, num_images: int) -> int:
    """Bytes that the forward pass keeps; with activations that are computed again those of the largest block too."""
    runtime, size = session.experiment.runtime, session.crops.size
    dtype = HALF_PRECISION.get(runtime.precision)
    with FakeTensorMode(allow_non_fake_inputs=True), nullcontext() if dtype is None else autocast_of_cuda(dtype):
        images = torch.empty(num_images, 3, size, size, device="cuda").to(memory_format=session.memory_format)
        kept, largest = count_kept(network, images)
        if runtime.checkpoint_activations:
            largest = count_kept(keep_activations(network), images)[1]
            return kept + largest
    return kept


@contextmanager
def autocast_of_cuda(dtype: torch.dtype) -> Iterator[None]:
    """`torch.autocast("cuda", dtype)`, which does nothing on a machine without CUDA."""
    before = torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")
    torch.set_autocast_enabled("cuda", True)
    torch.set_autocast_dtype("cuda", dtype)
    torch.autocast_increment_nesting()
    try:
        yield
    finally:
        if torch.autocast_decrement_nesting() == 0:
            torch.clear_autocast_cache()
        torch.set_autocast_enabled("cuda", before[0])
        torch.set_autocast_dtype("cuda", before[1])


def count_kept(network: nn.Module, images: Tensor) -> tuple[int, int]:
    """Bytes that a forward pass in training keeps for its backward pass: of the network, and the most of one block.

    Without weights and images, float [B, 3, S, S]. Where the images are on another device than the network, so are the
    tensors that stand for its weights.
    """
    tensors: dict[str, Tensor] = {}
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        placed = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=images.device)
        tensors[name] = placed.requires_grad_(tensor.requires_grad)
    known = {each.untyped_storage()._cdata for each in (images, *tensors.values())}
    kept: dict[int, int] = {}
    blocks: list[int] = []

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in known:
            kept[storage._cdata] = storage.nbytes()
        return tensor  # and so the storage lives, and its address is not taken by another

    hooks = []
    for block in find_repeated_blocks(network):
        hooks.append(block.register_forward_pre_hook(lambda *_: blocks.append(-sum(kept.values()))))
        hooks.append(block.register_forward_hook(lambda *_: blocks.append(sum(kept.values()))))
    was_training = [(module, module.training) for module in network.modules()]
    with saved_tensors_hooks(pack, lambda tensor: tensor):
        output = functional_call(network, tensors, (images,))
    for hook in hooks:
        hook.remove()
    for module, mode in was_training:
        module.training = mode
    largest = max((before + after for before, after in zip(blocks[::2], blocks[1::2], strict=True)), default=0)
    del output
    return sum(kept.values()), largest
