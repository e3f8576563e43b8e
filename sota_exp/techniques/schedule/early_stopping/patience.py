"""Early stopping: stops training when validation accuracy has not improved for several evaluations.

Stop when `patience` consecutive evaluations have not exceeded the best one before them by more than `min_delta`.

Paper: Prechelt 1998, Early Stopping – But When? (Neural Networks: Tricks of the Trade, no arXiv)
Setting: patience 5 with a constant or step schedule. With a cosine schedule accuracy increases most at the end, so that
stopping early costs accuracy.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sota_exp.stages.schedule import StoppingRule
from sota_exp.stages.stage import Count, FractionBelowOne


@dataclass(frozen=True, kw_only=True)
class PatienceRule(StoppingRule):
    patience: Count
    min_delta: FractionBelowOne

    def __call__(self, history: Sequence[float]) -> bool:
        best, last_gain = float("-inf"), -1
        for index, value in enumerate(history):  # NaN is never a gain
            if value > best + self.min_delta:
                best, last_gain = value, index
        return len(history) - 1 - last_gain >= self.patience
