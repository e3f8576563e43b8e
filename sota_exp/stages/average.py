"""Averages of the weights over training."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

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


#: Averaged tensors, current ones, and the number of updates so far → the averaged ones are updated in place.
Update = Callable[[list[Tensor], list[Tensor], int], None]


class CopiedAverage(WeightAverage):
    """An average in a copy of the network. `AveragedModel` updates it too, but waits for the device each time."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.averaged = AveragedModel(model)
        self.averaged.module.requires_grad_(False).eval()
        self.module: nn.Module = self.averaged.module
        self.step = 0

    @torch.no_grad()
    def update_copy(self, update: Update, with_buffers: bool) -> None:
        """Average the parameters, the first time by a copy; buffers (norm statistics) are averaged too, or copied."""
        copy, num_updates = self.averaged.module, int(self.averaged.n_averaged)  # a count on the CPU
        pairs: list[tuple[Tensor, Tensor]] = list(zip(copy.parameters(), self.model.parameters(), strict=True))
        buffers: list[tuple[Tensor, Tensor]] = list(zip(copy.buffers(), self.model.buffers(), strict=True))
        averaged, copied = (pairs + buffers, []) if with_buffers else (pairs, buffers)
        if num_updates == 0:
            averaged, copied = [], averaged + copied
        for dtype in {old.dtype for old, _ in averaged}:
            old, new = zip(*(pair for pair in averaged if pair[0].dtype == dtype), strict=True)
            update(list(old), list(new), num_updates)
        for target, source in copied:
            target.copy_(source)
        self.averaged.n_averaged += 1

    def state_dict(self) -> dict[str, Any]:
        return {"step": self.step, "averaged": self.averaged.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.step = state["step"]
        self.averaged.load_state_dict(state["averaged"])


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
