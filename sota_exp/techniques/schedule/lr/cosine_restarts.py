"""Cosine annealing with warm restarts: several half cosines, each `cycle_mult` times as long as the one before.

Cycle i takes the fraction cycle_mult^i / Σ_j cycle_mult^j of training; in it, with t from 0 to 1, multiplier = floor +
(1 − floor)·(1 + cos πt) / 2.

Paper: Loshchilov & Hutter 2016, SGDR: Stochastic Gradient Descent with Warm Restarts, 1608.03983
Setting: num_cycles 4, cycle_mult 2: good weights at the end of every cycle; 3.1 % error for an ensemble on CIFAR-10.
"""

import math
from dataclasses import dataclass
from math import log10
from typing import Annotated

from sota_exp.stages.schedule import LrSchedule
from sota_exp.stages.stage import Count, FractionBelowOne, Legal


@dataclass(frozen=True, kw_only=True)
class CosineRestarts(LrSchedule):
    num_cycles: Count
    cycle_mult: Annotated[
        float,
        Legal(
            lambda value, num_cycles: value >= 1 and (num_cycles - 1) * log10(value) <= 6,
            "a factor of at least 1 with which the last of num_cycles={num_cycles} is at most a million times"
            " as long as the first",
        ),
    ]
    floor: FractionBelowOne

    def __call__(self, progress: float) -> float:
        lengths = [self.cycle_mult**cycle for cycle in range(self.num_cycles)]
        position = progress * sum(lengths)
        for length in lengths[:-1]:
            # `progress` is a rounded quotient and may be slightly below the exact boundary of a cycle.
            if position < length - 1e-9:
                break
            position -= length
        else:
            length = lengths[-1]
        return self.floor + (1 - self.floor) * (1 + math.cos(math.pi * min(max(position / length, 0.0), 1.0))) / 2
