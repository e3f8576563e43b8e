"""Finds the parts of a network that several techniques need: its classifier, its norm layers, its residual blocks.

Parts are found by class, in torchvision's networks, timm's and our own.
"""

import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from sota_exp.errors import ConfigError

Norm = TypeVar("Norm", bound=_BatchNorm)
log = logging.getLogger(__name__)


class ChannelAffine(nn.Module):
    """A learnable scale and shift per channel, batch norm without the normalization: [B, C, H, W] → [B, C, H, W]."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.bias[:, None, None], x, self.weight[:, None, None])


# Library classes are named, not imported, since importing takes a second or two: any network with such a class has done
# so.

PLAIN_NORMS = (_BatchNorm, _InstanceNorm, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, ChannelAffine)

TIMM_NORMS = (
    "RmsNorm",
    "RmsNorm2d",
    "FilterResponseNormAct2d",
    "FilterResponseNormTlu2d",
    "EvoNorm2dB0",
    "EvoNorm2dB1",
    "EvoNorm2dB2",
    "EvoNorm2dS0",
)

#: The norm layer that ends the residual branch of a block, just before the shortcut is added.
LAST_NORMS = {"BasicBlock": "bn2", "Bottleneck": "bn3"}

RESIDUAL_MODULES = ("torchvision.models.resnet", "timm.models.resnet", "sota_exp.models.small_nets")


def get_imported_classes(module: str, names: Iterable[str]) -> dict[type[nn.Module], str]:
    """Class → name, of the classes with these names in a module; empty where the module is not imported."""
    members = vars(sys.modules[module]) if module in sys.modules else {}
    return {members[name]: name for name in names if name in members}


def get_norm_classes() -> tuple[type[nn.Module], ...]:
    """All classes of normalization layers that a network in this process can contain."""
    return (*PLAIN_NORMS, *get_imported_classes("timm.layers", TIMM_NORMS))


def get_residual_norms() -> dict[type[nn.Module], str]:
    """Class of residual block → name of the norm that ends its branch, for all networks in this process."""
    blocks = [get_imported_classes(module, LAST_NORMS) for module in RESIDUAL_MODULES]
    return {block: LAST_NORMS[name] for each in blocks for block, name in each.items()}


@runtime_checkable
class HasClassifier(Protocol):
    """The methods of timm's networks beyond `nn.Module`."""

    def get_classifier(self) -> nn.Module: ...


@runtime_checkable
class HasNoWeightDecay(Protocol):
    """A timm network that names the parameters to exclude from weight decay."""

    def no_weight_decay(self) -> set[str]: ...


def find_norm_layers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """All normalization layers with their names, in order of registration."""
    classes = get_norm_classes()
    return ((name, module) for name, module in model.named_modules() if isinstance(module, classes))


def find_classifier_name(model: nn.Module) -> str:
    """The name of the layer whose output is the logits, a `Linear` or (SqueezeNet) a `Conv2d`.

    timm's networks return it from `get_classifier`; in all others it is the last such layer registered.

    Raises:
        ConfigError: the network has no classifier, or several.
    """
    root = model.get_classifier() if isinstance(model, HasClassifier) else model
    if not isinstance(root, nn.Module):
        raise ConfigError(
            f"model.arch: {type(model).__name__} has several classifiers; this needs a network with exactly one"
        )
    inside = set(root.modules())
    layers = [n for n, m in model.named_modules() if isinstance(m, nn.Linear | nn.Conv2d) and m in inside]
    if not layers:
        raise ConfigError(f"model.arch: {type(model).__name__} has no classifier layer")
    return layers[-1]


def get_classifier_layer(model: nn.Module) -> nn.Module:
    """The layer whose output is the logits."""
    return model.get_submodule(find_classifier_name(model))


def find_head_dropouts(model: nn.Module) -> list[nn.Dropout]:
    """The dropout layer registered directly before the classifier, if any."""
    parent, _, name = find_classifier_name(model).rpartition(".")
    children = list(model.get_submodule(parent).named_children())
    position = [child for child, _ in children].index(name)
    return [module for _, module in children[max(position - 1, 0) : position] if isinstance(module, nn.Dropout)]


def freeze_all_but_classifier(model: nn.Module) -> None:
    """Freeze all but the classifier, with the frozen part in eval mode: no dropout, fixed norm statistics."""
    model.eval().requires_grad_(False)
    get_classifier_layer(model).train().requires_grad_(True)
    for dropout in find_head_dropouts(model):
        dropout.train()


def find_residual_blocks(model: nn.Module) -> list[nn.Module]:
    """The residual blocks of a ResNet (torchvision's, timm's or ours), from the input to the output."""
    classes = get_residual_norms()
    return [module for module in model.modules() if type(module) in classes]


def get_last_norm(block: nn.Module) -> nn.Module:
    """The norm layer that ends the residual branch of a block from `find_residual_blocks`."""
    return block.get_submodule(get_residual_norms()[type(block)])


def find_last_norm(model: nn.Module) -> nn.Module | None:
    """The last norm layer before the classifier: of the last residual block, else the last one registered, or None."""
    blocks = find_residual_blocks(model)
    norms = [get_last_norm(block) for block in blocks[-1:]] or [module for _, module in find_norm_layers(model)][-1:]
    return next((norm for norm in norms if isinstance(norm, get_norm_classes())), None)


def zero_init_last_gamma(model: nn.Module) -> None:
    """Zero the scale of the norm layer that ends each residual branch (Goyal 2017, 1706.02677), in place.

    Only for untrained networks: see `is_untrained`.
    """
    norms = [norm for norm in map(get_last_norm, find_residual_blocks(model)) if isinstance(norm, get_norm_classes())]
    if not norms:
        log.warning(
            "zero_init_last_gamma: %s has no known residual block; no scale is set to zero", type(model).__name__
        )
    for norm in norms:
        nn.init.zeros_(norm.get_parameter("weight"))


def is_untrained(model: nn.Module) -> bool:
    """Whether no batch norm has seen data: every running mean is exactly zero and every batch count is zero.

    Both are checked: weights saved before PyTorch 0.4.1 have no batch count, and those without running statistics no
    mean.
    """
    layers = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    return not any(
        seen.any() for layer in layers for seen in (layer.running_mean, layer.num_batches_tracked) if seen is not None
    )


def require_batch_norm(model: nn.Module) -> None:
    """Check that a network has a batch norm to replace.

    Raises:
        ConfigError: it has none, so that the option would have no effect.
    """
    if not any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        raise ConfigError(f"regularization/norm: {type(model).__name__} has no batch norm to replace; legal: batch")


def replace_batch_norms(model: nn.Module, make: Callable[[nn.BatchNorm2d], nn.Module]) -> nn.Module:
    """Replace every `BatchNorm2d` by `make(layer)`, in place; dropout and activation that timm fused into it stay."""
    require_batch_norm(model)
    return _replace_layers(model, nn.BatchNorm2d, make)


def unsynchronize_norms(model: nn.Module) -> nn.Module:
    """Replace synchronized batch norms by plain ones, in place: for a network that one process of several runs alone.

    The others would not join it where it gathers statistics.
    """

    def make(norm: nn.SyncBatchNorm) -> nn.BatchNorm2d:
        plain = nn.BatchNorm2d(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
        plain._parameters, plain._buffers = norm._parameters, norm._buffers
        return plain.train(norm.training)

    return _replace_layers(model, nn.SyncBatchNorm, make)


def _replace_layers(model: nn.Module, kind: type[Norm], make: Callable[[Norm], nn.Module]) -> nn.Module:
    fused = tuple(get_imported_classes("timm.layers", ["BatchNormAct2d", "SyncBatchNormAct"]))
    for name, layer in [*model.named_modules()]:
        if not isinstance(layer, kind):
            continue
        new = make(layer)
        if isinstance(layer, fused):
            new.drop, new.act = layer.drop, layer.act
            new.register_forward_hook(drop_and_activate)
        model.set_submodule(name, new)
    return model


def drop_and_activate(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
    """A forward hook: the output [B, C, H, W] of a norm layer after its own modules `drop` and `act`."""
    return layer.get_submodule("act")(layer.get_submodule("drop")(output))
