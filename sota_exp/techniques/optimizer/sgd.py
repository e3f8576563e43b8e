"""SGD: stochastic gradient descent with heavy-ball momentum.

g ← g + λ·w;  v ← μ·v + g;  w ← w − lr·v. Weight decay λ is L2 regularization, added to the gradient and multiplied by
lr.

Paper: Sutskever et al. 2013, On the importance of initialization and momentum in deep learning (ICML, no arXiv)
Setting: lr 0.1 for a batch of 256, momentum 0.9, weight decay 1e-4: ResNet-50 reaches 76.1 % on ImageNet in 90 epochs.
"""

from dataclasses import dataclass
from typing import Any

import torch

from sota_exp.stages.optimizer import OptimizerFactory
from sota_exp.stages.stage import FractionBelowOne


@dataclass(frozen=True, kw_only=True)
class SGD(OptimizerFactory):
    momentum: FractionBelowOne

    def __call__(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        return torch.optim.SGD(groups, momentum=self.momentum, fused=True)
