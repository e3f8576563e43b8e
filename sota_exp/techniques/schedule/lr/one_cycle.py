"""One cycle: increases the learning rate to the peak along half a cosine, then decreases it far below its start.

multiplier: 1/div_factor → 1 over the first `pct_start` of training, then 1 → 1/(div_factor·final_div_factor), both
along half a cosine. The momentum is constant here; in the paper, and by default in PyTorch's OneCycleLR, it decreases
while the learning rate increases.

Paper: Smith & Topin 2017, Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates,
1708.07120
Setting: pct_start 0.3, div_factor 25, final_div_factor 1e4, as in PyTorch, with two to three times the usual peak and
few epochs. The schedule includes a warm-up: combine it with `schedule/warmup=none`.
"""

import math
from dataclasses import dataclass
from typing import Annotated

from sota_exp.stages.schedule import LrSchedule
from sota_exp.stages.stage import FractionInside, Legal

Divisor = Annotated[float, Legal(lambda value: value >= 1, "a divisor of at least 1")]


def cosine_between(start: float, end: float, share: float) -> float:
    """The value at `share` in [0, 1] of the way from `start` to `end` along half a cosine."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


@dataclass(frozen=True, kw_only=True)
class OneCycle(LrSchedule):
    pct_start: FractionInside
    div_factor: Divisor
    final_div_factor: Divisor

    def __call__(self, progress: float) -> float:
        if progress < self.pct_start:
            return cosine_between(1 / self.div_factor, 1.0, progress / self.pct_start)
        share = (progress - self.pct_start) / (1 - self.pct_start)
        return cosine_between(1.0, 1 / (self.div_factor * self.final_div_factor), share)
