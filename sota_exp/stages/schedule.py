"""Learning-rate schedule, warm-up and scaling, length of training, early stopping."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from sota_exp.stages.stage import Count, Legal, Stage


class LrSchedule(Stage):
    """The learning rate over training, after warm-up."""

    @abstractmethod
    def __call__(self, progress: float) -> float:
        """Progress in [0, 1] → multiplier of the peak learning rate."""


WarmupFraction = Annotated[
    float,
    Legal(lambda value: 0 <= value < 1, "a fraction of training in [0, 1): warm-up must be shorter than training"),
]


class Warmup(Stage):
    """The learning rate in the first part of training, before the schedule; fraction: the length of that part."""

    fraction: float

    @abstractmethod
    def __call__(self, progress: float) -> float:
        """Progress within the warm-up, in [0, 1) → multiplier of the peak learning rate."""


@dataclass(frozen=True, kw_only=True)
class NoWarmup(Warmup):
    fraction = 0.0

    def __call__(self, progress: float) -> float:
        return 1.0


class LrScaling(Stage):
    @abstractmethod
    def __call__(self, batch_size: int) -> float:
        """Effective batch size, in images per optimizer step → factor of the learning rate, above 0."""


@dataclass(frozen=True, kw_only=True)
class KeepLr(LrScaling):
    def __call__(self, batch_size: int) -> float:
        return 1.0


class ScheduleStepping(Stage):
    """How often the schedule is updated: per optimizer step or per epoch."""

    @abstractmethod
    def __call__(self, step: int, steps_per_epoch: int, total_steps: int) -> float:
        """The progress passed to the schedule at `step` (counted from 0), in [0, 1)."""


@dataclass(frozen=True, kw_only=True)
class TrainingLength(Stage):
    """How long training lasts: `epochs` passes over the training set."""

    epochs: Count


class StoppingRule(Stage):
    @abstractmethod
    def __call__(self, history: Sequence[float]) -> bool:
        """Validation accuracies so far, in [0, 1], of the averaged weights if there are any → whether to stop."""


@dataclass(frozen=True, kw_only=True)
class NeverStop(StoppingRule):
    def __call__(self, history: Sequence[float]) -> bool:
        return False
