"""Averages of the weights over training."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from sota_exp.stages.stage import Stage


class WeightAverage(ABC):
    """A running average of a network's weights, kept in `module`: the trained weights are never replaced by it."""

    module: nn.Module

    @abstractmethod
    def update(self, progress: float) -> None:
        """Called after every optimizer step; `progress` in [0, 1] is the fraction of training that is done."""

    @abstractmethod
    def finish(self, batches: Iterable[Tensor]) -> None:
        """Prepare `module` for evaluation; batch-norm statistics may be recomputed from `batches`.

        batches: normalized training images in random order, in batches of training's size: float [B, 3, S, S] each.
        """

    @abstractmethod
    def state_dict(self) -> dict[str, Any]: ...

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Average(Stage):
    """Creates the running average of a network's weights."""

    @abstractmethod
    def __call__(self, model: nn.Module, num_steps: int, warmup: float, num_epochs: int = 1) -> WeightAverage:
        """num_steps: optimizer steps in `num_epochs` equal epochs. warmup: the fraction that is warm-up, in [0, 1)."""


class TrainedWeights(WeightAverage):
    """No average: `module` is the trained network itself."""

    def __init__(self, model: nn.Module) -> None:
        self.module = model

    def update(self, progress: float) -> None:
        pass

    def finish(self, batches: Iterable[Tensor]) -> None:
        pass

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


@dataclass(frozen=True, kw_only=True)
class NoAverage(Average):
    def __call__(self, model: nn.Module, num_steps: int, warmup: float, num_epochs: int = 1) -> WeightAverage:
        return TrainedWeights(model)
