"""RMSprop: steps scaled by a moving average of the squared gradient, with momentum.

g ← g + λ·w;  v ← alpha·v + (1 − alpha)·g², from v = 1;  b ← μ·b + lr·g / √(v + ε);  w ← w − b.

This is TensorFlow's RMSprop, as timm has it: PyTorch's adds ε outside the root, so that EfficientNet's ε of 1e-3 would
make steps of small gradients 3 to 29 times as large, and begins with v = 0.

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
        from timm.optim.rmsprop_tf import RMSpropTF

        return RMSpropTF(groups, alpha=self.alpha, momentum=self.momentum, eps=self.eps)
