"""Cross-entropy: the negative log-likelihood of soft targets under a softmax.

loss_i = −Σ_k y_ik log softmax(z_i)_k, in float32 whatever the precision of the logits.

Paper: Bridle 1990, Probabilistic Interpretation of Feedforward Classification Network Outputs (Neurocomputing, no
arXiv)
Setting: the default; label smoothing and mixing have already been applied to the targets.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from sota_exp.stages.batch import Batch
from sota_exp.stages.loss import Loss


@dataclass(frozen=True, kw_only=True)
class CrossEntropy(Loss):
    def __call__(self, logits: Tensor, batch: Batch) -> Tensor:
        return F.cross_entropy(logits.float(), batch.targets.float(), reduction="none")
