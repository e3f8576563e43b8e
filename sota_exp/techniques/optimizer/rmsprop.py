"""RMSprop: steps scaled by a moving average of the squared gradient, with momentum.

g ← g + λ·w;  v ← alpha·v + (1 − alpha)·g²;  b ← μ·b + g / (√v + ε);  w ← w − lr·b.

Paper: Hinton, Srivastava & Swersky 2012, Neural Networks for Machine Learning, lecture 6e (no arXiv)
Setting: lr 0.016 for a batch of 256, alpha 0.9, momentum 0.9, eps 1e-3, weight decay 1e-5 (EfficientNet, 1905.11946).
"""

from dataclasses import dataclass
from typing import Any

import torch

from sota_exp.stages.optimizer import OptimizerFactory
from sota_exp.stages.stage import FractionBelowOne, Positive


@dataclass(frozen=True, kw_only=True)
class RMSprop(OptimizerFactory):
    alpha: FractionBelowOne
    momentum: FractionBelowOne
    eps: Positive

    def __call__(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        return torch.optim.RMSprop(groups, alpha=self.alpha, momentum=self.momentum, eps=self.eps)
