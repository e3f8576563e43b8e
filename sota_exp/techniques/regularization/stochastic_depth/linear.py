"""Stochastic depth: drops residual branches at random for each sample, deeper ones more often.

The branch of block l of L is dropped with probability p_l in training and scaled by 1/(1 − p_l) otherwise; in
evaluation every branch is used. Shortcuts are never dropped, and state-dict keys do not change. p_l is drop_path_rate
times l/L in the paper, (l − 1)/(L − 1) in timm, and (l − 1)/L in torchvision's EfficientNet: `rates` chooses.

Paper: Huang et al. 2016, Deep Networks with Stochastic Depth, 1603.09382
Setting: 0.5 for the paper's ResNet-110 on CIFAR; 0.05 for ResNet-50 in long, augmented training (2110.00476), more for
deeper networks.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from timm.layers import DropPath
from torch import Tensor, nn
from torchvision.ops import StochasticDepth, stochastic_depth

from sota_exp.models.parts import find_residual_blocks, get_last_norm
from sota_exp.stages.model import ModelTransform
from sota_exp.stages.stage import FractionBelowOne, InvalidValue, added_field, one_of

DROP_PATH = re.compile(r"(\w+_)?drop_path\d?")


def drop_branch(layer: nn.Module, inputs: tuple[Tensor], branch: Tensor, drop_rate: float) -> Tensor:
    """A forward hook of a branch's last layer, [B, C, H, W] → [B, C, H, W]; the mode is that of the layer called."""
    return stochastic_depth(branch, drop_rate, "row", layer.training)


#: Name of a rule → share of the drop rate for block l of L.
RATES: dict[str, Callable[[int, int], float]] = {
    "paper": lambda block, num_blocks: block / num_blocks,
    "timm": lambda block, num_blocks: (block - 1) / max(num_blocks - 1, 1),
    "torchvision": lambda block, num_blocks: (block - 1) / num_blocks,
}


def compute_drop_rates(drop_path_rate: float, num_blocks: int, rates: str = "paper") -> list[float]:
    """The drop probability of each block from input to output, by a rule of `RATES`."""
    return [drop_path_rate * RATES[rates](block, num_blocks) for block in range(1, num_blocks + 1)]


def find_droppable(model: nn.Module) -> list[list[str]]:
    """Names of the modules that can drop a branch, one list per block, from input to output.

    These are torchvision's ResNet blocks and `StochasticDepth` layers, and timm's `…drop_path` attributes, which are
    None or an `Identity` without stochastic depth.
    """
    with_hook = {block for block in find_residual_blocks(model) if not find_drop_path_attributes(block)}
    names: dict[str, list[str]] = {}
    for name, module in model.named_modules():
        if module in with_hook:
            names.setdefault(name, []).append(name)
        elif isinstance(module, StochasticDepth):
            names.setdefault(name.rpartition(".")[0], []).append(name)
        if attributes := find_drop_path_attributes(module):
            names[name] = [f"{name}.{attribute}" for attribute in attributes]
    return list(names.values())


def find_drop_path_attributes(module: nn.Module) -> list[str]:
    """Attributes of a timm block that can drop a branch, such as `drop_path` or `mlp_drop_path`."""
    attributes = {**vars(module), **dict(module.named_children())}
    return [
        name
        for name, value in attributes.items()
        if DROP_PATH.fullmatch(name) and (value is None or isinstance(value, nn.Identity | DropPath))
    ]


def set_drop_rate(model: nn.Module, name: str, drop_rate: float) -> None:
    """Set the drop probability of the module `name`, one of `find_droppable`."""
    parent_name, _, attribute = name.rpartition(".")
    if attribute in find_drop_path_attributes(parent := model.get_submodule(parent_name)):
        setattr(parent, attribute, DropPath(drop_rate))
    elif isinstance(module := model.get_submodule(name), StochasticDepth):
        module.p = drop_rate
    else:
        get_last_norm(module).register_forward_hook(partial(drop_branch, drop_rate=drop_rate))


@dataclass(frozen=True, kw_only=True)
class LinearStochasticDepth(ModelTransform):
    drop_path_rate: FractionBelowOne
    rates: Annotated[str, one_of(*RATES)] = added_field("paper")

    def __call__(self, model: nn.Module) -> nn.Module:
        blocks = find_droppable(model)
        if not blocks:
            legal = f"0, or none: {type(model).__name__} has no residual branch that can be dropped"
            raise InvalidValue("drop_path_rate", self.drop_path_rate, legal)
        drop_rates = compute_drop_rates(self.drop_path_rate, len(blocks), self.rates)
        for rate, names in zip(drop_rates, blocks, strict=True):
            for name in names:
                set_drop_rate(model, name, rate)
        return model
