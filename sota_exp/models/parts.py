"""The parts of a network that several techniques need: its classifier, its norm layers, its residual blocks.

Works by class, for torchvision's models, timm's and our own; nothing here changes what a network computes unless its
name says so (`replace_batch_norms`).
"""

import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from sota_exp.errors import ConfigError

log = logging.getLogger(__name__)


class ChannelAffine(nn.Module):
    """A learnable scale and shift per channel: what is left of batch norm when it no longer normalizes."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.bias[:, None, None], x, self.weight[:, None, None])


# Classes of libraries that take a second or two to import, by the module that has them: a network of such a class has imported it.

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


def loaded(module: str, names: Iterable[str]) -> dict[type[nn.Module], str]:
    """The classes that a module has under these names, if it is imported, and their names."""
    found = vars(sys.modules[module]) if module in sys.modules else {}
    return {found[name]: name for name in names if name in found}


def norm_classes() -> tuple[type[nn.Module], ...]:
    """Every class of normalization layers that a network of this process can have."""
    return (*PLAIN_NORMS, *loaded("timm.layers", TIMM_NORMS))


def residual_norms() -> dict[type[nn.Module], str]:
    """Every class of residual blocks that a network of this process can have → the name of the norm that ends its branch."""
    blocks = [loaded(module, LAST_NORMS) for module in RESIDUAL_MODULES]
    return {block: LAST_NORMS[name] for each in blocks for block, name in each.items()}


@runtime_checkable
class TimmModel(Protocol):
    """What timm's models promise beyond `nn.Module`."""

    def get_classifier(self) -> nn.Module: ...


@runtime_checkable
class NamesUndecayed(Protocol):
    """A timm network that names parameters which weight decay should spare."""

    def no_weight_decay(self) -> set[str]: ...


def norm_layers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Every normalization layer with its name, in order of registration."""
    classes = norm_classes()
    return ((name, module) for name, module in model.named_modules() if isinstance(module, classes))


def classifier_name(model: nn.Module) -> str:
    """The name of the layer whose output is the logits, a `Linear` or (SqueezeNet) a `Conv2d`.

    timm's models say where it sits; in all others it is the last such layer registered. Raises `ConfigError` for a
    network without exactly one.
    """
    root = model.get_classifier() if isinstance(model, TimmModel) else model
    if not isinstance(root, nn.Module):
        raise ConfigError(
            f"model.arch: {type(model).__name__} has several classifiers; what was chosen needs a network with exactly one"
        )
    inside = set(root.modules())
    layers = [n for n, m in model.named_modules() if isinstance(m, nn.Linear | nn.Conv2d) and m in inside]
    if not layers:
        raise ConfigError(f"model.arch: {type(model).__name__} has no classifier layer")
    return layers[-1]


def classifier(model: nn.Module) -> nn.Module:
    """The layer whose output is the logits."""
    return model.get_submodule(classifier_name(model))


def head_dropouts(model: nn.Module) -> list[nn.Dropout]:
    """The dropout layer registered just before the classifier, if there is one."""
    parent, _, name = classifier_name(model).rpartition(".")
    children = list(model.get_submodule(parent).named_children())
    place = [child for child, _ in children].index(name)
    return [module for _, module in children[max(place - 1, 0) : place] if isinstance(module, nn.Dropout)]


def train_classifier_alone(model: nn.Module) -> None:
    """Freeze all but the classifier, and run the frozen part as in evaluation: no dropout, fixed norm statistics."""
    model.eval().requires_grad_(False)
    classifier(model).train().requires_grad_(True)
    for dropout in head_dropouts(model):
        dropout.train()


def train_everything(model: nn.Module) -> None:
    """Free every parameter, and put every module into train mode."""
    model.train().requires_grad_(True)


def residual_blocks(model: nn.Module) -> list[nn.Module]:
    """The residual blocks of a ResNet (torchvision's, timm's or ours), from the input to the output."""
    classes = residual_norms()
    return [module for module in model.modules() if type(module) in classes]


def last_norm(block: nn.Module) -> nn.Module:
    """The norm layer that ends the residual branch of a block from `residual_blocks`."""
    return block.get_submodule(residual_norms()[type(block)])


def norm_before_pooling(model: nn.Module) -> nn.Module | None:
    """The norm layer nearest to the classifier: of the last residual block's branch, else the last registered; or None."""
    blocks = residual_blocks(model)
    norms = [last_norm(block) for block in blocks[-1:]] or [module for _, module in norm_layers(model)][-1:]
    return next((norm for norm in norms if isinstance(norm, norm_classes())), None)


def zero_init_last_gamma(model: nn.Module) -> None:
    """Start each residual branch at zero (Goyal 2017, 1706.02677), by the scale of the norm layer that ends it.

    Call it only on untrained networks: see `is_untrained`.
    """
    norms = [norm for norm in map(last_norm, residual_blocks(model)) if isinstance(norm, norm_classes())]
    if not norms:
        log.warning(
            "zero_init_last_gamma: %s has no residual block known here; nothing starts at zero", type(model).__name__
        )
    for norm in norms:
        nn.init.zeros_(norm.get_parameter("weight"))


def is_untrained(model: nn.Module) -> bool:
    """Whether no batch norm of the network has seen data: every running mean is exactly zero, and no batch was counted.

    Weights that PyTorch wrote before 0.4.1 count no batches, and those trained without running statistics have no means.
    """
    layers = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    return not any(
        seen.any() for layer in layers for seen in (layer.running_mean, layer.num_batches_tracked) if seen is not None
    )


def require_batch_norm(model: nn.Module) -> None:
    """Raise `ConfigError` for a network that has no batch norm to replace: nothing would happen."""
    if not any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        raise ConfigError(f"regularization/norm: {type(model).__name__} has no batch norm to replace; legal: batch")


def replace_batch_norms(model: nn.Module, make: Callable[[nn.BatchNorm2d], nn.Module]) -> nn.Module:
    """Put `make(layer)` in the place of every `BatchNorm2d`, in place. Raises `ConfigError` where there is none."""
    found = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)]
    require_batch_norm(model)
    for name, module in found:
        model.set_submodule(name, make(module))
    return model
