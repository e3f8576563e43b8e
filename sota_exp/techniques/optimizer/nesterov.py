"""Nesterov: SGD with Nesterov momentum, which looks one step ahead.

g ← g + λ·w;  v ← μ·v + g;  w ← w − lr·(g + μ·v).

Paper: Sutskever et al. 2013, On the importance of initialization and momentum in deep learning (ICML, no arXiv)
Setting: lr 0.1 for a batch of 128, momentum 0.9, weight decay 5e-4, as is usual for wide ResNets on CIFAR.
"""

from dataclasses import dataclass
from typing import Any

import torch

from sota_exp.stages.optimizer import OptimizerFactory
from sota_exp.stages.stage import FractionInside


@dataclass(frozen=True, kw_only=True)
class Nesterov(OptimizerFactory):
    momentum: FractionInside

    def __call__(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        return torch.optim.SGD(groups, momentum=self.momentum, nesterov=True, fused=True)
