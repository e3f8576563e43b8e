"""Constant warm-up: keeps a small learning rate during warm-up, then jumps to the peak.

multiplier(p) = factor, with p in [0, 1) the progress of the warm-up.

Paper: He et al. 2015, Deep Residual Learning for Image Recognition, 1512.03385
Setting: factor 0.1 for the first epoch or two, as in the paper for the 110-layer ResNet on CIFAR-10.
"""

from dataclasses import dataclass

from sota_exp.stages.schedule import Warmup, WarmupFraction
from sota_exp.stages.stage import FractionAboveZero


@dataclass(frozen=True, kw_only=True)
class ConstantWarmup(Warmup):
    fraction: WarmupFraction
    factor: FractionAboveZero

    def __call__(self, progress: float) -> float:
        return self.factor
