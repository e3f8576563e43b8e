"""Clipping by value: limits the magnitude of every component of the gradient; the direction may change.

g_i ← max(−clip_value, min(clip_value, g_i)).

Paper: Pascanu, Mikolov & Bengio 2013, On the difficulty of training Recurrent Neural Networks, 1211.5063 (section 3.2,
after Mikolov 2012)
Setting: 0.1 or less for a ResNet, most of whose components are far smaller; try clipping by norm first.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sota_exp.stages.optimizer import GradientTransform
from sota_exp.stages.stage import Positive


@dataclass(frozen=True, kw_only=True)
class ValueClipping(GradientTransform):
    clip_value: Positive

    def __call__(self, parameters: Sequence[nn.Parameter]) -> dict[str, Tensor]:
        gradients = [p.grad for p in parameters if p.grad is not None]
        grad_norm = nn.utils.get_total_norm(gradients)
        max_norm = nn.utils.get_total_norm(gradients, norm_type=torch.inf)
        nn.utils.clip_grad_value_(parameters, self.clip_value)
        return {"grad_norm": grad_norm, "clipped": (max_norm > self.clip_value).float()}
