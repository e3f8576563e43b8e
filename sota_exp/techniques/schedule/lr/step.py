"""Step decay: multiplies the learning rate by a factor at fixed fractions of training.

multiplier(p) = gamma ^ (number of milestones ≤ p).

Paper: He et al. 2015, Deep Residual Learning for Image Recognition, 1512.03385
Setting: milestones [1/3, 2/3], gamma 0.1: epochs 30 and 60 of 90, the schedule of torchvision's 76.1 % ResNet-50.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

from sota_exp.stages.schedule import LrSchedule
from sota_exp.stages.stage import FractionInside, Legal

# Milestones such as 1/3 and progress after warm-up are rounded numbers; their errors are far smaller than this.
ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class StepDecay(LrSchedule):
    milestones: Annotated[
        list[float],
        Legal(
            lambda value: bool(value) and all(a < b for a, b in pairwise([0, *value, 1])),
            "ascending fractions of training in (0, 1), at least one; schedule/lr=constant has none",
        ),
    ]
    gamma: FractionInside

    def __call__(self, progress: float) -> float:
        return self.gamma ** sum(progress >= milestone - ROUNDING for milestone in self.milestones)
