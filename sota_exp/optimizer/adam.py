"""Adam: steps scaled by moving averages of the gradient and of its square.

g ← g + λ·w;  m, v ← averages of g, g²;  w ← w − lr·m̂ / (√v̂ + ε). Weight decay is L2 and is scaled away with the gradient.

Paper: Kingma & Ba 2014, Adam: A Method for Stochastic Optimization, 1412.6980
Setting: lr 1e-3, betas 0.9 and 0.999, no weight decay; with decay, prefer AdamW.
"""

from dataclasses import dataclass
from typing import Any

import torch

from sota_exp.optimizer.groups import RateAndDecay, require_positive, require_share, with_lr


@dataclass(frozen=True, kw_only=True)
class Adam(RateAndDecay):
    """Adam with L2 regularization."""

    beta1: float
    beta2: float
    eps: float

    def __post_init__(self) -> None:
        super().__post_init__()
        require_share("beta1", self.beta1)
        require_share("beta2", self.beta2)
        require_positive("eps", self.eps)

    def __call__(self, groups: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
        return torch.optim.Adam(with_lr(groups, lr), lr=lr, betas=(self.beta1, self.beta2), eps=self.eps, fused=True)
