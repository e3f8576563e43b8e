"""What every optimizer here has: a learning rate and a weight decay, and groups that learn at their own rate."""

from dataclasses import dataclass
from typing import Any

from sota_exp.stages import OptimizerFactory, require


def with_lr(groups: list[dict[str, Any]], lr: float) -> list[dict[str, Any]]:
    """Groups that start at `lr` times their own `lr_scale`."""
    return [{**group, "lr": lr * group["lr_scale"]} for group in groups]


@dataclass(frozen=True, kw_only=True)
class RateAndDecay(OptimizerFactory):
    """An optimizer by its learning rate and weight-decay coefficient."""

    lr: float
    weight_decay: float

    def __post_init__(self) -> None:
        require(self.lr > 0, "lr", self.lr, "a number above 0")
        require(self.weight_decay >= 0, "weight_decay", self.weight_decay, "a number of at least 0")

    @property
    def peak_lr(self) -> float:
        return self.lr

    @property
    def decay(self) -> float:
        return self.weight_decay


def require_share(field: str, value: float) -> None:
    """Raise `InvalidValue` unless `value` is legal for a momentum or a moving average's decay."""
    require(0 <= value < 1, field, value, "a number in [0, 1)")


def require_positive(field: str, value: float) -> None:
    """Raise `InvalidValue` unless `value` is above 0."""
    require(value > 0, field, value, "a number above 0")
