"""Parts that several optimizers share: learning rates of groups, checks of fields, and Adam's moments."""

from dataclasses import dataclass
from typing import Any

from sota_exp.stages.optimizer import OptimizerFactory
from sota_exp.stages.stage import require


def with_lr(groups: list[dict[str, Any]], lr: float) -> list[dict[str, Any]]:
    """The groups with the learning rate `lr` times their own `lr_scale`."""
    return [{**group, "lr": lr * group["lr_scale"]} for group in groups]


def require_share(field: str, value: float) -> None:
    """Raise `InvalidValue` unless `value` is in [0, 1), as for a momentum or the decay of a moving average."""
    require(0 <= value < 1, field, value, "a number in [0, 1)")


def require_positive(field: str, value: float) -> None:
    """Raise `InvalidValue` unless `value` is above 0."""
    require(value > 0, field, value, "a number above 0")


@dataclass(frozen=True, kw_only=True)
class Moments(OptimizerFactory):
    """An optimizer with moving averages of the gradient (decay `beta1`) and of its square (decay `beta2`)."""

    beta1: float
    beta2: float
    eps: float

    def __post_init__(self) -> None:
        super().__post_init__()
        require_share("beta1", self.beta1)
        require_share("beta2", self.beta2)
        require_positive("eps", self.eps)
