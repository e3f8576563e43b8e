"""Optimizers: accumulation, parameter groups, gradients, the step."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sota_exp.stages.batch import Batch
from sota_exp.stages.stage import Stage, require


class Accumulation(Stage):
    """Splits the batch of one optimizer step into the micro-batches that are run one after the other."""

    @abstractmethod
    def __call__(self, batch: Batch) -> Iterator[Batch]: ...


@dataclass(frozen=True, kw_only=True)
class OneBatch(Accumulation):
    """Runs the whole batch at once."""

    def __call__(self, batch: Batch) -> Iterator[Batch]:
        yield batch


class ParameterGroups(Stage):
    """Splits the parameters into optimizer groups: every trainable parameter in exactly one, each with its decay."""

    @abstractmethod
    def __call__(self, model: nn.Module, weight_decay: float) -> list[dict[str, Any]]: ...


@dataclass(frozen=True, kw_only=True)
class NoDecay(ParameterGroups):
    """Decays nothing, whatever `optimizer.weight_decay` says."""

    def __call__(self, model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
        return [{"params": [p for p in model.parameters() if p.requires_grad], "weight_decay": 0.0}]


@dataclass(frozen=True, kw_only=True)
class OptimizerFactory(Stage):
    """Parameter groups → an optimizer whose learning rate, `lr` at its peak, the schedule then multiplies.

    weight_decay: the coefficient; which parameters it touches is `regularization/weight_decay`'s business.
    """

    lr: float
    weight_decay: float

    def __post_init__(self) -> None:
        require(self.lr > 0, "lr", self.lr, "a number above 0")
        require(self.weight_decay >= 0, "weight_decay", self.weight_decay, "a number of at least 0")

    @abstractmethod
    def __call__(self, groups: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer: ...


class GradientTransform(Stage):
    """Changes the gradients in place before the optimizer's step; returns scalars to average over the epoch."""

    @abstractmethod
    def __call__(self, parameters: Sequence[nn.Parameter]) -> dict[str, Tensor]: ...


@dataclass(frozen=True, kw_only=True)
class KeepGradients(GradientTransform):
    """Leaves the gradients as they are."""

    def __call__(self, parameters: Sequence[nn.Parameter]) -> dict[str, Tensor]:
        return {}
