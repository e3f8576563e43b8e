"""Parts that several optimizers share: learning rates of groups, and Adam's moments."""

from dataclasses import dataclass
from typing import Any

from sota_exp.stages.optimizer import OptimizerFactory
from sota_exp.stages.stage import FractionBelowOne, Positive


def set_group_lr(groups: list[dict[str, Any]], lr: float) -> list[dict[str, Any]]:
    """The groups with the learning rate `lr` times their own `lr_scale`."""
    return [{**group, "lr": lr * group["lr_scale"]} for group in groups]


@dataclass(frozen=True, kw_only=True)
class MomentOptimizer(OptimizerFactory):
    """An optimizer with moving averages of the gradient (decay `beta1`) and of its square (decay `beta2`)."""

    beta1: FractionBelowOne
    beta2: FractionBelowOne
    eps: Positive
