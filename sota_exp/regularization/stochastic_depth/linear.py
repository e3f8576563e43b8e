"""Stochastic depth: each sample skips residual branches at random, deeper ones more often.

Block l of L is dropped with probability (l/L)·drop_path_rate; a branch that survives grows by 1/(1 − its probability) in
training, and every branch runs in evaluation. The shortcut is never dropped, state-dict keys stay as they were.

Paper: Huang et al. 2016, Deep Networks with Stochastic Depth, 1603.09382
Setting: 0.5 for the paper's ResNet-110 on CIFAR; 0.05 for ResNet-50 in long, augmented training (2110.00476), more for deeper ones.
"""

import re
from dataclasses import dataclass

import timm.models.resnet as timm_resnet
from timm.layers import DropPath
from torch import Tensor, nn
from torchvision.ops import StochasticDepth, stochastic_depth

from sota_exp.network import last_norm, residual_blocks
from sota_exp.stages import InvalidValue, ModelTransform, require


@dataclass(frozen=True)
class DropBranch:
    """A forward hook of a branch's last layer; reads train or eval mode off the layer it is called for."""

    drop_rate: float

    def __call__(self, layer: nn.Module, inputs: tuple[Tensor], branch: Tensor) -> Tensor:
        return stochastic_depth(branch, self.drop_rate, "row", layer.training)


def drop_rates(drop_path_rate: float, num_blocks: int) -> list[float]:
    """The drop probability of each block: rises linearly from the input, where it would be 0, to `drop_path_rate`."""
    return [drop_path_rate * (block + 1) / num_blocks for block in range(num_blocks)]


def droppable(model: nn.Module) -> list[list[str]]:
    """Names of what can be dropped, one list a block, from the input to the output.

    ResNet blocks, timm's `drop_path…` places (which hold an `Identity` until they drop) and torchvision's `StochasticDepth`.
    """
    resnet_blocks = set(residual_blocks(model))
    places: dict[str, list[str]] = {}
    for name, module in model.named_modules():
        parent, _, own = name.rpartition(".")
        if module in resnet_blocks:
            places.setdefault(name, []).append(name)
        elif re.fullmatch(r"drop_path\d?", own) or isinstance(module, StochasticDepth):
            places.setdefault(parent, []).append(name)
    return list(places.values())


def set_drop_rate(model: nn.Module, name: str, drop_rate: float) -> None:
    """Make one place of `droppable` drop at `drop_rate`."""
    module = model.get_submodule(name)
    if isinstance(module, StochasticDepth):
        module.p = drop_rate
    elif isinstance(module, timm_resnet.BasicBlock | timm_resnet.Bottleneck):
        module.drop_path = DropPath(drop_rate)
    elif module in residual_blocks(model):
        last_norm(module).register_forward_hook(DropBranch(drop_rate))
    else:
        model.set_submodule(name, DropPath(drop_rate))


@dataclass(frozen=True, kw_only=True)
class Linear(ModelTransform):
    """Drops residual branches per sample, with a probability that rises linearly to `drop_path_rate`."""

    drop_path_rate: float

    def __post_init__(self) -> None:
        require(0 <= self.drop_path_rate < 1, "drop_path_rate", self.drop_path_rate, "a probability in [0, 1)")

    def __call__(self, model: nn.Module) -> nn.Module:
        blocks = droppable(model)
        if not blocks:
            legal = f"0, or none: {type(model).__name__} has no residual branch that can be dropped"
            raise InvalidValue("drop_path_rate", self.drop_path_rate, legal)
        for rate, names in zip(drop_rates(self.drop_path_rate, len(blocks)), blocks, strict=True):
            for name in names:
                set_drop_rate(model, name, rate)
        return model
