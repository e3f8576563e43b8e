"""Optimizers, parameter groups, gradient accumulation and gradient transforms."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sota_exp.stages.batch import Batch
from sota_exp.stages.stage import NonNegative, Positive, Stage


class Accumulation(Stage):
    @abstractmethod
    def __call__(self, batch: Batch) -> Iterator[Batch]:
        """A batch of B samples → micro-batches that contain each sample once, in order."""


@dataclass(frozen=True, kw_only=True)
class NoAccumulation(Accumulation):
    def __call__(self, batch: Batch) -> Iterator[Batch]:
        yield batch


class ParameterGroups(Stage):
    @abstractmethod
    def __call__(self, model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
        """Groups with keys `params` and `weight_decay`; every trainable parameter is in exactly one."""


@dataclass(frozen=True, kw_only=True)
class NoDecay(ParameterGroups):
    """Applies no weight decay, whatever `optimizer.weight_decay` is."""

    def __call__(self, model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
        return [{"params": [p for p in model.parameters() if p.requires_grad], "weight_decay": 0.0}]


@dataclass(frozen=True, kw_only=True)
class OptimizerFactory(Stage):
    """Builds an optimizer.

    lr: the peak learning rate, before scaling by batch size. weight_decay: the coefficient; the slot
    `regularization/weight_decay` chooses the parameters that decay.
    """

    lr: Positive
    weight_decay: NonNegative

    @abstractmethod
    def __call__(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """groups: `params`, `weight_decay`, `lr_scale` each; every training step sets their learning rates."""


class GradientTransform(Stage):
    @abstractmethod
    def __call__(self, parameters: Sequence[nn.Parameter]) -> dict[str, Tensor]:
        """Change the gradients in place; returns metrics to average over the epoch, scalars [] on the device."""


@dataclass(frozen=True, kw_only=True)
class KeepGradients(GradientTransform):
    def __call__(self, parameters: Sequence[nn.Parameter]) -> dict[str, Tensor]:
        return {}
