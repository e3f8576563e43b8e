"""AdamW: Adam with weight decay that is decoupled from the scaling of the gradient.

m, v ← averages of g, g²;  w ← w − lr·(m̂ / (√v̂ + ε) + λ·w).

Paper: Loshchilov & Hutter 2017, Decoupled Weight Decay Regularization, 1711.05101
Setting: lr 1e-3 for a batch of 1024, weight decay 0.05, as for vision transformers (DeiT, 2012.12877). Scale lr with
the square root of the batch size (`schedule/lr_scaling=square_root`).
"""

from dataclasses import dataclass
from typing import Any

import torch

from sota_exp.techniques.optimizer.torch_optimizer import MomentOptimizer


@dataclass(frozen=True, kw_only=True)
class AdamW(MomentOptimizer):
    def __call__(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        return torch.optim.AdamW(groups, betas=(self.beta1, self.beta2), eps=self.eps, fused=True)
