"""Fixed size: evaluates every image at one size.

    resize the shorter side to size / crop_ratio (antialiased) → cut the central size × size

Paper: Krizhevsky et al. 2012, "ImageNet Classification with Deep Convolutional Neural Networks" (256 → 224).
Setting: crop_ratio 0.875 on photographs, 1.0 where the object fills the image.
"""

from dataclasses import dataclass

from torch import Tensor

from sota_exp.stages.evaluation import EvaluationView, Resolution, ViewChoice
from sota_exp.stages.stage import CropRatio, Pixels


@dataclass(frozen=True, kw_only=True)
class FixedResolution(Resolution):
    size: Pixels
    crop_ratio: CropRatio

    def views(self) -> list[EvaluationView]:
        return [EvaluationView(resize=round(self.size / self.crop_ratio), size=self.size)]

    def choose(self, correct: Tensor, labels: Tensor) -> ViewChoice:
        return ViewChoice(index=0, report={})
