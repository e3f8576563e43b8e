"""Exponential decay: multiplies the learning rate by the same factor in equal fractions of training.

multiplier(p) = final_factor ^ p.

Paper: Tan & Le 2019, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, 1905.11946
Setting: final_factor 0.012: EfficientNet's 0.97 every 2.4 epochs, over its 350 epochs.
"""

from dataclasses import dataclass

from sota_exp.stages.schedule import LrSchedule
from sota_exp.stages.stage import FractionInside


@dataclass(frozen=True, kw_only=True)
class ExponentialDecay(LrSchedule):
    final_factor: FractionInside

    def __call__(self, progress: float) -> float:
        return self.final_factor**progress
