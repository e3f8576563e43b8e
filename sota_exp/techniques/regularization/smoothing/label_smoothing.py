"""Label smoothing: mixes every target with the uniform distribution over classes, so that optimal logits are finite.

y′ = (1 − ε)·y + ε/C with ε = label_smoothing, applied to the soft targets after mixing.

Paper: Szegedy et al. 2015, Rethinking the Inception Architecture for Computer Vision, 1512.00567
Setting: ε 0.1: +0.32 points for ResNet-50 in torchvision's recipe. It changes calibration: compare `val/ece` too.
"""

from dataclasses import dataclass, replace

from sota_exp.stages.batch import Batch, BatchTransform
from sota_exp.stages.random import RandomNumbers
from sota_exp.stages.stage import FractionBelowOne


@dataclass(frozen=True, kw_only=True)
class LabelSmoothing(BatchTransform):
    label_smoothing: FractionBelowOne

    def __call__(self, batch: Batch, progress: float, rng: RandomNumbers) -> Batch:
        uniform = self.label_smoothing / batch.targets.shape[1]
        return replace(batch, targets=batch.targets * (1 - self.label_smoothing) + uniform)
