"""Top-k accuracy: the share of images whose class is among the k most probable ones.

top-k = mean over images of [label ∈ the k classes with the highest logits]; k = 1 is the accuracy.

Paper: Russakovsky et al. 2014, ImageNet Large Scale Visual Recognition Challenge, 1409.0575
Setting: k = 5 for 1000 classes, which every run of more than five classes measures; k = 3 for ten.
"""

from dataclasses import dataclass
from typing import Annotated

from torch import Tensor

from sota_exp.stages.evaluation import Metrics
from sota_exp.stages.stage import Legal


def compute_top_k(logits: Tensor, labels: Tensor, k: int) -> float:
    """The share in [0, 1] of rows of logits [N, C] whose label, int64 [N], is among the k highest; k ≤ C."""
    return (logits.topk(k, dim=1).indices == labels[:, None]).any(1).sum().item() / len(labels)


@dataclass(frozen=True, kw_only=True)
class TopKAccuracy(Metrics):
    k: Annotated[list[int], Legal(lambda value: len(value) > 0 and min(value) >= 1, "counts of classes, at least 1")]

    def __call__(self, logits: Tensor, labels: Tensor) -> dict[str, float]:
        return {f"top{k}_accuracy": compute_top_k(logits, labels, k) for k in self.k if k < logits.shape[1] and k != 5}
