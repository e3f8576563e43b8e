"""FixRes: trains at a smaller size than that of evaluation, so that objects have the same apparent size in both.

    train size = round(image_size / ratio)

A random resized crop enlarges objects: with scale 0.08-1 they are about 1.25 times larger in training than in a centre
crop. A training size smaller by about that ratio compensates, at 1 / ratio² of the compute. Without random resized
crops there is nothing to compensate.

Paper: Touvron, Vedaldi, Douze, Jégou 2019, Fixing the train-test resolution discrepancy, arXiv 1906.06423
Setting: ratio 1.2727 (train 176, evaluate 224): +0.16 points for ResNet-50 on ImageNet in torchvision's recipe
"""

from dataclasses import dataclass
from typing import Annotated

from sota_exp.stages.augmentation import TrainSize
from sota_exp.stages.stage import Legal


@dataclass(frozen=True, kw_only=True)
class FixRes(TrainSize):
    ratio: Annotated[float, Legal(lambda value: 1 <= value <= 2, "a ratio in [1, 2]")]

    def __call__(self, image_size: int) -> int:
        return round(image_size / self.ratio)
