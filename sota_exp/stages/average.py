"""Running averages of the weights."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from sota_exp.stages.stage import Stage


class WeightAverage(ABC):
    """A running average of a network's weights, held apart: the trained weights are never swapped."""

    module: nn.Module

    @abstractmethod
    def update(self, progress: float) -> None:
        """Take in the weights after an optimizer step; `progress` is the share of training done."""

    @abstractmethod
    def finish(self, batches: Iterable[Tensor]) -> None:
        """Make `module` ready for evaluation, from training images where its norm statistics need them."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]: ...

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Average(Stage):
    """Starts averaging a network's weights; `num_steps` optimizer steps lie ahead in `num_epochs` equal epochs, `warmup` of
    them (a share) warm-up."""

    @abstractmethod
    def __call__(self, model: nn.Module, num_steps: int, warmup: float, num_epochs: int = 1) -> WeightAverage: ...


class RawWeights(WeightAverage):
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
    """Ships the trained weights themselves."""

    def __call__(self, model: nn.Module, num_steps: int, warmup: float, num_epochs: int = 1) -> WeightAverage:
        return RawWeights(model)
