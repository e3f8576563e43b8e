"""Early stopping: training ends once validation accuracy has not improved for a while.

Stop when `patience` evaluations in a row brought no more than `min_delta` over the best before them.

Paper: Prechelt 1998, Early Stopping – But When? (Neural Networks: Tricks of the Trade, no arXiv)
Setting: patience 5 with a constant or step schedule. A cosine that is cut short was never annealed: its accuracy still rises
most at the end, so there this saves time by giving up accuracy.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sota_exp.stages.schedule import StoppingRule
from sota_exp.stages.stage import require


def evaluations_without_gain(history: Sequence[float], min_delta: float) -> int:
    """How many of the latest values brought no gain above `min_delta`; a NaN is never a gain."""
    best, last_gain = float("-inf"), -1
    for index, value in enumerate(history):
        if value > best + min_delta:
            best, last_gain = value, index
    return len(history) - 1 - last_gain


@dataclass(frozen=True, kw_only=True)
class Patience(StoppingRule):
    """Stops after `patience` evaluations without a gain of more than `min_delta` in accuracy."""

    patience: int
    min_delta: float

    def __post_init__(self) -> None:
        require(self.patience >= 1, "patience", self.patience, "a count of evaluations, at least 1")
        require(0 <= self.min_delta < 1, "min_delta", self.min_delta, "a fraction of accuracy in [0, 1)")

    def __call__(self, history: Sequence[float]) -> bool:
        return evaluations_without_gain(history, self.min_delta) >= self.patience
