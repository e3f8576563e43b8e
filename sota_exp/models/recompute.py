"""Activation checkpointing: activations inside a block are computed again in the backward pass, instead of being kept.

It costs about a forward pass, a third of a step's time, and leaves of a deep network's activations little more than the
inputs of its blocks. Dropout and stochastic depth draw again what they drew; norm statistics don't move again.

Source: Chen et al. 2016, Training Deep Nets with Sublinear Memory Cost, 1604.06174;
https://docs.pytorch.org/docs/stable/checkpoint.html
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from sota_exp.errors import ConfigError

#: Modules that hold blocks, whose own activations are those of the blocks.
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)

#: Where layers are defined, of which blocks consist.
LAYERS = ("torch.", "torchvision.ops.", "timm.layers.")


@runtime_checkable
class HasSwitch(Protocol):
    """A network of timm, most of which have a switch of their own."""

    def set_grad_checkpointing(self, enable: bool = True) -> None: ...


def recompute_activations(model: nn.Module) -> nn.Module:
    """Let the blocks of a network keep their inputs alone, in place: by timm's own switch, else each repeated block.

    Raises:
        ConfigError: the network has no blocks.
    """
    if isinstance(model, HasSwitch):
        with suppress(AssertionError):  # how timm says that a network has none
            model.set_grad_checkpointing()
            return model
    blocks = find_repeated_blocks(model)
    if not blocks:
        raise ConfigError(
            f"runtime.checkpoint_activations=true: {type(model).__name__} has no repeated blocks; networks that have: "
            "ResNet, EfficientNet, ConvNeXt, RegNet, DenseNet, MobileNet, ViT, Swin, and most others"
        )
    for block in blocks:
        block.forward = partial(_call, block.forward)
    return model


def keep_activations(model: nn.Module) -> nn.Module:
    """The opposite of `recompute_activations`, in place; nothing for a network that keeps them already."""
    if isinstance(model, HasSwitch):
        with suppress(AssertionError):
            model.set_grad_checkpointing(False)
    for module in model.modules():
        if isinstance(forward := vars(module).get("forward"), partial) and forward.func is _call:
            del module.forward
    return model


def find_repeated_blocks(model: nn.Module) -> list[nn.Module]:
    """The outermost modules of classes that a network has several of, in order; no single layers."""
    counts = Counter(type(module) for module in model.modules() if _is_block(module))
    blocks: list[nn.Module] = []
    inside: set[nn.Module] = set()
    for module in model.modules():
        if module not in inside and counts[type(module)] > 1:
            blocks.append(module)
            inside |= set(module.modules())
    return blocks


def _is_block(module: nn.Module) -> bool:
    is_layer = type(module).__module__.startswith(LAYERS) or isinstance(module, _BatchNorm)
    return not is_layer and not isinstance(module, CONTAINERS) and any(module.children())


def _call(forward: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*arguments, **named)
    # DenseNet appends to the list that a layer has read.
    kept = (list(each) if isinstance(each, list) else each for each in arguments)
    return checkpoint(forward, *kept, use_reentrant=False, **named)


@contextmanager
def keep_norm_statistics(model: nn.Module) -> Iterator[None]:
    """While entered, as a backward pass is that computes activations again, batch norms don't move their statistics."""
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, count = 0.0, norm.num_batches_tracked
        # A synchronized one requires a count.
        norm.num_batches_tracked = (
            torch.zeros_like(count) if isinstance(norm, nn.SyncBatchNorm) and count is not None else None
        )
    try:
        yield
    finally:
        for norm, (momentum, num_batches) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, num_batches
