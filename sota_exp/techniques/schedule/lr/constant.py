"""Constant: keeps the peak learning rate from the end of warm-up to the end of training.

multiplier(p) = 1.

Paper: Smith et al. 2017, Don't Decay the Learning Rate, Increase the Batch Size, 1711.00489 (what a decay is worth)
Setting: the baseline for every schedule, and the schedule to combine with averaged weights.
"""

from dataclasses import dataclass

from sota_exp.stages.schedule import LrSchedule


@dataclass(frozen=True, kw_only=True)
class ConstantLr(LrSchedule):
    def __call__(self, progress: float) -> float:
        return 1.0
