"""Lion: steps in the direction of the sign of a momentum; the algorithm was found by program search.

w ← w − lr·(sign(β₁·m + (1 − β₁)·g) + λ·w);  m ← β₂·m + (1 − β₂)·g.

Paper: Chen et al. 2023, Symbolic Discovery of Optimization Algorithms, 2302.06675
Setting: a third to a tenth of AdamW's lr and three to ten times its weight decay, since every weight moves by lr per
step.
"""

from dataclasses import dataclass
from typing import Any

import torch
from timm.optim import Lion as TimmLion

from sota_exp.stages.optimizer import OptimizerFactory
from sota_exp.stages.stage import FractionBelowOne


@dataclass(frozen=True, kw_only=True)
class Lion(OptimizerFactory):
    beta1: FractionBelowOne
    beta2: FractionBelowOne

    def __call__(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        return TimmLion(groups, betas=(self.beta1, self.beta2))
