"""Linear warm-up: increases the learning rate linearly from a small fraction of the peak.

multiplier(p) = start_factor + (1 − start_factor)·p, with p in [0, 1) the progress of the warm-up.

Paper: Goyal et al. 2017, Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour, 1706.02677
Setting: five epochs from 0.01 of the peak (fraction 5/90 or 5/600): makes batches of 1024 and more as accurate as 256.
"""

from dataclasses import dataclass

from sota_exp.stages.schedule import Warmup, WarmupFraction
from sota_exp.stages.stage import FractionAboveZero


@dataclass(frozen=True, kw_only=True)
class LinearWarmup(Warmup):
    fraction: WarmupFraction
    start_factor: FractionAboveZero

    def __call__(self, progress: float) -> float:
        return self.start_factor + (1 - self.start_factor) * progress
