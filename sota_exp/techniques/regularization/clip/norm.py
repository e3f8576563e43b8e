"""Clipping by norm: scales a gradient whose norm exceeds a limit down to the limit, keeping its direction.

g ← g · min(1, max_norm / ‖g‖₂), with the norm over all parameters.

Paper: Pascanu, Mikolov & Bengio 2013, On the difficulty of training Recurrent Neural Networks, 1211.5063
Setting: max_norm 1 for transformers (ViT, 2010.11929); 5 to 10 for ResNets, where it is active only for rare
explosions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from sota_exp.stages.optimizer import GradientTransform
from sota_exp.stages.stage import Positive


@dataclass(frozen=True, kw_only=True)
class NormClipping(GradientTransform):
    max_norm: Positive

    def __call__(self, parameters: Sequence[nn.Parameter]) -> dict[str, Tensor]:
        grad_norm = nn.utils.clip_grad_norm_(parameters, self.max_norm)
        return {"grad_norm": grad_norm, "clipped": (grad_norm > self.max_norm).float()}
