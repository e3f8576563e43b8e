"""TrivialAugment: applies one operation to each image; operation and strength are drawn uniformly.

    op ~ U(14 operations), magnitude ~ U(num_magnitude_bins evenly spaced values), sign ±1 for signed operations

The paper's wide space: shears 0.99, rotation 135°, colour operations 0.99, posterize 8 to 2 bits, solarize 1 to 0. Its
translation of up to 32 px would move small images out of the frame: here it is `translate_fraction` of the side.

Paper: Müller, Hutter 2021, TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation, arXiv 2103.10158
Setting: 31 bins, bilinear: +0.31 points for ResNet-50 on ImageNet in torchvision's recipe
"""

from dataclasses import dataclass
from functools import cache

from sota_exp.stages.batch import Batch, BatchTransform
from sota_exp.stages.random import RandomNumbers
from sota_exp.stages.stage import Fraction, Several
from sota_exp.techniques.augmentation.policy import ops
from sota_exp.techniques.augmentation.policy.ops import Interpolation
from sota_exp.techniques.augmentation.policy.space import OperationSpace, build_space, ranges


@cache
def build_trivialaugment_space(num_bins: int, translate_pixels: float) -> OperationSpace:
    """The operations of TrivialAugment and their magnitudes, with translations of up to `translate_pixels`."""
    return build_space(ranges(shear=0.99, translate=translate_pixels, rotate=135, color=0.99, posterize=2), num_bins)


@dataclass(frozen=True, kw_only=True)
class TrivialAugment(BatchTransform):
    num_magnitude_bins: Several
    translate_fraction: Fraction
    interpolation: Interpolation

    def __call__(self, batch: Batch, progress: float, rng: RandomNumbers) -> Batch:
        space = build_trivialaugment_space(self.num_magnitude_bins, self.translate_fraction * batch.images.shape[-1])
        drawn, bins = rng.integers(len(space.ops), len(batch)), rng.integers(self.num_magnitude_bins, len(batch))
        magnitudes = space.magnitude(drawn, bins, rng.uniform(len(batch)))
        return batch.with_images(ops.apply_ops(batch.images, space.ops[drawn], magnitudes, self.interpolation))
