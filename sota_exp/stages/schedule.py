"""Schedules: learning rate, warm-up, scaling, length, early stopping."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from sota_exp.stages.stage import Stage, require


class Schedule(Stage):
    """Progress in [0, 1] → a multiplier of the peak learning rate."""

    @abstractmethod
    def __call__(self, progress: float) -> float: ...


class Warmup(Stage):
    """The start of the schedule: `fraction` of training during which the multiplier comes from here."""

    @property
    @abstractmethod
    def share(self) -> float:
        """The fraction of training that is warm-up, in [0, 1)."""

    @abstractmethod
    def __call__(self, progress: float) -> float:
        """Multiplier at `progress` in [0, 1) of the warm-up itself."""


@dataclass(frozen=True, kw_only=True)
class NoWarmup(Warmup):
    """Starts at the full learning rate."""

    @property
    def share(self) -> float:
        return 0.0

    def __call__(self, progress: float) -> float:
        return 1.0


class LrScaling(Stage):
    """Effective batch size → factor of the learning rate."""

    @abstractmethod
    def __call__(self, batch_size: int) -> float: ...


@dataclass(frozen=True, kw_only=True)
class KeepLr(LrScaling):
    """Uses `optimizer.lr` as it is, at any batch size."""

    def __call__(self, batch_size: int) -> float:
        return 1.0


class Stepping(Stage):
    """How often the schedule moves: (step, steps per epoch, steps in all) → the progress it sees."""

    @abstractmethod
    def __call__(self, step: int, steps_per_epoch: int, total_steps: int) -> float: ...


@dataclass(frozen=True, kw_only=True)
class Length(Stage):
    """How long training lasts: `epochs` passes over the training set."""

    epochs: int

    def __post_init__(self) -> None:
        require(self.epochs >= 1, "epochs", self.epochs, "a count of at least 1")


class StoppingRule(Stage):
    """The validation accuracies so far of the weights that ship → whether to stop."""

    @abstractmethod
    def __call__(self, history: Sequence[float]) -> bool: ...


@dataclass(frozen=True, kw_only=True)
class NeverStop(StoppingRule):
    """Trains to the planned end."""

    def __call__(self, history: Sequence[float]) -> bool:
        return False
