"""Binary cross-entropy: one binary classification per class, so a mixed image may belong to two classes.

loss_i = mean or sum over k of −y_ik log σ(z_ik) − (1 − y_ik) log(1 − σ(z_ik)), in float32.

With `target_threshold` t, y_ik is 1 where the mixed and smoothed target is above t and 0 elsewhere, as in the paper.

Paper: Wightman, Touvron & Jégou 2021, ResNet strikes back: An improved training procedure in timm, 2110.00476
Setting: the paper's procedures A1 and A2 use it with LAMB, mixup and CutMix: ResNet-50 reaches 80.4 % in 600 epochs.
`mean` over classes, as in timm, divides the gradient of `sum` by C: use a larger learning rate (not with LAMB, whose
step does not depend on the scale of the gradient).
"""

from dataclasses import dataclass
from typing import Annotated

import torch.nn.functional as F
from torch import Tensor

from sota_exp.stages.batch import Batch
from sota_exp.stages.loss import Loss
from sota_exp.stages.stage import FractionBelowOne, added_field, one_of


@dataclass(frozen=True, kw_only=True)
class BinaryCrossEntropy(Loss):
    class_reduction: Annotated[str, one_of("mean", "sum")]
    target_threshold: FractionBelowOne | None = added_field(None)

    def __call__(self, logits: Tensor, batch: Batch) -> Tensor:
        targets = batch.targets.float()
        if self.target_threshold is not None:
            targets = (targets > self.target_threshold).float()
        losses = F.binary_cross_entropy_with_logits(logits.float(), targets, reduction="none")
        return losses.mean(1) if self.class_reduction == "mean" else losses.sum(1)
