"""Adam: steps scaled by moving averages of the gradient and its square.

g ← g + λ·w;  m, v ← averages of g, g²;  w ← w − lr·m̂ / (√v̂ + ε). Weight decay λ is L2 regularization: it is divided
by √v̂ like the gradient.

Paper: Kingma & Ba 2014, Adam: A Method for Stochastic Optimization, 1412.6980
Setting: lr 1e-3, betas 0.9 and 0.999, no weight decay; with weight decay prefer AdamW.
"""

from dataclasses import dataclass
from typing import Any

import torch

from sota_exp.techniques.optimizer.torch_optimizer import MomentOptimizer


@dataclass(frozen=True, kw_only=True)
class Adam(MomentOptimizer):
    def __call__(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        return torch.optim.Adam(groups, betas=(self.beta1, self.beta2), eps=self.eps, fused=True)
