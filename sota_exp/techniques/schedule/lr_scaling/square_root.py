"""Square-root scaling: scales the learning rate with the square root of the effective batch size.

factor(B) = √(B / base_batch_size).

Paper: Malladi et al. 2022, On the SDEs and Scaling Rules for Adaptive Gradient Algorithms, 2205.10287
Setting: for Adam, AdamW, LAMB and Lion, whose step size does not depend on the size of the gradient.
"""

import math
from dataclasses import dataclass

from sota_exp.stages.schedule import LrScaling
from sota_exp.stages.stage import Count


@dataclass(frozen=True, kw_only=True)
class SquareRootLrScaling(LrScaling):
    base_batch_size: Count

    def __call__(self, batch_size: int) -> float:
        return math.sqrt(batch_size / self.base_batch_size)
