"""LAMB: Adam with the step of each layer rescaled to the norm of the layer's weights.

u = m̂ / (√v̂ + ε) + λ·w;  w ← w − lr·(‖w‖ / ‖u‖)·u. Vectors without weight decay (norm layers, biases) take w ← w −
lr·u, as in timm, with whose LAMB the setting below was found: a bias that starts at zero could not grow otherwise. The
clipping to norm 1 inside timm's LAMB is switched off; `regularization/clip=norm` does that.

Paper: You et al. 2019, Large Batch Optimization for Deep Learning: Training BERT in 76 minutes, 1904.00962
Setting: lr 5e-3 for a batch of 2048, weight decay 0.02, with binary cross-entropy: 79.8 % for ResNet-50 in 300 epochs
(procedure A2 of 2110.00476).
"""

from dataclasses import dataclass
from typing import Any

import torch
from timm.optim import Lamb as TimmLamb

from sota_exp.techniques.optimizer.torch_optimizer import MomentOptimizer


def split_vectors_off(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every group as two: weights of two or more dimensions, rescaled even without weight decay, and vectors."""
    halves = [
        {**group, "params": [p for p in group["params"] if (p.ndim > 1) == adapts], "always_adapt": adapts}
        for group in groups
        for adapts in (True, False)
    ]
    return [half for half in halves if half["params"]]


@dataclass(frozen=True, kw_only=True)
class Lamb(MomentOptimizer):
    def __call__(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        parts = split_vectors_off(groups)
        return TimmLamb(parts, betas=(self.beta1, self.beta2), eps=self.eps, max_grad_norm=None)
