"""Stochastic depth: each sample skips residual branches at random, deeper ones more often.

Block l of L is dropped with probability (l/L)·drop_path_rate; a branch that survives grows by 1/(1 − its probability) in
training, and every branch runs in evaluation. The shortcut is never dropped, state-dict keys stay as they were.

Paper: Huang et al. 2016, Deep Networks with Stochastic Depth, 1603.09382
Setting: 0.5 for the paper's ResNet-110 on CIFAR; 0.05 for ResNet-50 in long, augmented training (2110.00476), more for deeper ones.
"""

import re
from dataclasses import dataclass

from timm.layers import DropPath
from torch import Tensor, nn
from torchvision.ops import StochasticDepth, stochastic_depth

from sota_exp.models.parts import last_norm, residual_blocks
from sota_exp.stages.model import ModelTransform
from sota_exp.stages.stage import InvalidValue, require

DROP_PATH = re.compile(r"(\w+_)?drop_path\d?")


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

    torchvision's ResNet blocks and its `StochasticDepth`, and timm's `…drop_path` places, which hold nothing or an `Identity`
    until they drop.
    """
    hooked = {block for block in residual_blocks(model) if not drop_path_places(block)}
    places: dict[str, list[str]] = {}
    for name, module in model.named_modules():
        if module in hooked:
            places.setdefault(name, []).append(name)
        elif isinstance(module, StochasticDepth):
            places.setdefault(name.rpartition(".")[0], []).append(name)
        if own := drop_path_places(module):
            places[name] = [f"{name}.{place}" for place in own]
    return list(places.values())


def drop_path_places(module: nn.Module) -> list[str]:
    """Attributes in which a block of timm keeps the dropping of a branch, `drop_path` or `mlp_drop_path`, say."""
    held = {**vars(module), **dict(module.named_children())}
    return [
        name
        for name, value in held.items()
        if DROP_PATH.fullmatch(name) and (value is None or isinstance(value, nn.Identity | DropPath))
    ]


def set_drop_rate(model: nn.Module, name: str, drop_rate: float) -> None:
    """Make one place of `droppable` drop at `drop_rate`."""
    parent, _, own = name.rpartition(".")
    if own in drop_path_places(holder := model.get_submodule(parent)):
        setattr(holder, own, DropPath(drop_rate))
    elif isinstance(module := model.get_submodule(name), StochasticDepth):
        module.p = drop_rate
    else:
        last_norm(module).register_forward_hook(DropBranch(drop_rate))


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
