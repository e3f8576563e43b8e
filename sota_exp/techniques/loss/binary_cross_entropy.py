"""Binary cross-entropy: every class is a yes-or-no question of its own, so a mixed image may be two things at once.

loss_i = mean or sum over k of −y_ik log σ(z_ik) − (1 − y_ik) log(1 − σ(z_ik)), in float32.

Paper: Wightman, Touvron & Jégou 2021, ResNet strikes back: An improved training procedure in timm, 2110.00476
Setting: their procedures A1 and A2 use it with LAMB, mixup and CutMix: ResNet-50 reaches 80.4 % in 600 epochs. `mean` over
classes is timm's scale and makes the gradient 1/C of the sum's: raise the learning rate with it, as LAMB does by itself.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from sota_exp.stages.batch import Batch
from sota_exp.stages.loss import Loss
from sota_exp.stages.stage import require


def binary_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Logits and soft targets, both [B, C] → float32 loss per sample and class [B, C]."""
    return F.binary_cross_entropy_with_logits(logits.float(), targets.float(), reduction="none")


@dataclass(frozen=True, kw_only=True)
class BinaryCrossEntropy(Loss):
    """Sigmoid cross-entropy on soft targets, reduced over classes by `class_reduction`."""

    class_reduction: str

    def __post_init__(self) -> None:
        require(self.class_reduction in ("mean", "sum"), "class_reduction", self.class_reduction, "mean or sum")

    def __call__(self, logits: Tensor, batch: Batch) -> Tensor:
        losses = binary_cross_entropy(logits, batch.targets)
        return losses.mean(1) if self.class_reduction == "mean" else losses.sum(1)
