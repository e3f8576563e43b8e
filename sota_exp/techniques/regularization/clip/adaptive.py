"""Adaptive gradient clipping (AGC): each unit's gradient is scaled down to a share of the norm of its own weights.

For unit i (a row of a weight, a whole bias): g_i ← g_i · min(1, clip_factor · max(‖w_i‖, eps) / ‖g_i‖).

The classifier is left out by default, as in the paper. Only the parameters arrive here, so it is found by place, as timm
does: in the order of `model.parameters()`, the last weight of two or more dimensions and all that follows it.

Paper: Brock et al. 2021, High-Performance Large-Scale Image Recognition Without Normalization, 2102.06171
Setting: clip_factor 0.01 to 0.02, eps 1e-3: what lets networks without normalization train at batch 4096.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from timm.utils.agc import adaptive_clip_grad
from torch import Tensor, nn

from sota_exp.stages.optimizer import GradientTransform
from sota_exp.stages.stage import require


def without_classifier(parameters: Sequence[nn.Parameter]) -> Sequence[nn.Parameter]:
    """The parameters registered before the last weight of two or more dimensions."""
    weights = [place for place, p in enumerate(parameters) if p.ndim >= 2]
    return parameters[: weights[-1]] if weights else parameters


def adaptive_clip(parameters: Sequence[nn.Parameter], clip_factor: float, eps: float) -> tuple[Tensor, Tensor]:
    """Clip the gradients in place; their norm together before and after, scalars on their device."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    before = nn.utils.get_total_norm(gradients)
    adaptive_clip_grad(parameters, clip_factor=clip_factor, eps=eps)
    return before, nn.utils.get_total_norm(gradients)


@dataclass(frozen=True, kw_only=True)
class Adaptive(GradientTransform):
    """Clips each unit to `clip_factor` of its weights' norm; reports the whole norm before, and whether anything was clipped."""

    clip_factor: float
    eps: float
    exclude_classifier: bool

    def __post_init__(self) -> None:
        require(self.clip_factor > 0, "clip_factor", self.clip_factor, "a number above 0")
        require(self.eps > 0, "eps", self.eps, "a number above 0")

    def __call__(self, parameters: Sequence[nn.Parameter]) -> dict[str, Tensor]:
        chosen = without_classifier(parameters) if self.exclude_classifier else parameters
        whole = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        before, after = adaptive_clip(chosen, self.clip_factor, self.eps)
        return {"grad_norm": whole, "clipped": (after < before).float()}
