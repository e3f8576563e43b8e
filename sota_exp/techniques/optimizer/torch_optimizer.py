"""What several optimizers have: groups that learn at their own rate, and moments."""

from dataclasses import dataclass
from typing import Any

from sota_exp.stages.optimizer import OptimizerFactory
from sota_exp.stages.stage import require


def with_lr(groups: list[dict[str, Any]], lr: float) -> list[dict[str, Any]]:
    """Groups that start at `lr` times their own `lr_scale`."""
    return [{**group, "lr": lr * group["lr_scale"]} for group in groups]


def require_share(field: str, value: float) -> None:
    """Raise `InvalidValue` unless `value` is legal for a momentum or a moving average's decay."""
    require(0 <= value < 1, field, value, "a number in [0, 1)")


def require_positive(field: str, value: float) -> None:
    """Raise `InvalidValue` unless `value` is above 0."""
    require(value > 0, field, value, "a number above 0")


@dataclass(frozen=True, kw_only=True)
class Moments(OptimizerFactory):
    """An optimizer by moving averages of the gradient and of its square."""

    beta1: float
    beta2: float
    eps: float

    def __post_init__(self) -> None:
        super().__post_init__()
        require_share("beta1", self.beta1)
        require_share("beta2", self.beta2)
        require_positive("eps", self.eps)
