"""Adaptive gradient clipping (AGC): limits the gradient norm of each unit to a fraction of its weight norm.

For unit i (a row of a weight, a whole bias): g_i ← g_i · min(1, clip_factor · max(‖w_i‖, eps) / ‖g_i‖).

The classifier is not clipped by default, as in the paper. As in timm it is found by its position in
`model.parameters()`: the last weight of two or more dimensions and all parameters after it.

Paper: Brock et al. 2021, High-Performance Large-Scale Image Recognition Without Normalization, 2102.06171
Setting: clip_factor 0.01 to 0.02, eps 1e-3: makes batches of 4096 possible for networks without normalization.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from timm.utils.agc import adaptive_clip_grad
from torch import Tensor, nn

from sota_exp.stages.optimizer import GradientTransform
from sota_exp.stages.stage import Positive


def exclude_classifier(parameters: Sequence[nn.Parameter]) -> Sequence[nn.Parameter]:
    """The parameters before the last weight of two or more dimensions."""
    weights = [index for index, p in enumerate(parameters) if p.ndim >= 2]
    return parameters[: weights[-1]] if weights else parameters


@dataclass(frozen=True, kw_only=True)
class AdaptiveClipping(GradientTransform):
    clip_factor: Positive
    eps: Positive
    exclude_classifier: bool

    def __call__(self, parameters: Sequence[nn.Parameter]) -> dict[str, Tensor]:
        clippable = exclude_classifier(parameters) if self.exclude_classifier else parameters
        total = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        gradients = [p.grad for p in clippable if p.grad is not None]
        before = nn.utils.get_total_norm(gradients)
        adaptive_clip_grad(clippable, clip_factor=self.clip_factor, eps=self.eps)
        after = nn.utils.get_total_norm(gradients)
        return {"grad_norm": total, "clipped": (after < before).float()}
