"""RandAugment: applies several operations in sequence, drawn uniformly, all with the same strength.

    x ← op_N(… op_1(x)),  op_k ~ U(14 operations) at magnitude bin `magnitude` of `num_magnitude_bins`, sign ±1

Paper: Cubuk, Zoph, Shlens, Le 2019, RandAugment: Practical automated data augmentation, arXiv 1909.13719
Setting: num_ops 2, magnitude 9 of 31; ResNet-50 on ImageNet: 76.3 → 77.6 %; larger networks need a larger magnitude
"""

from dataclasses import dataclass
from functools import cache

from sota_exp.stages.batch import Batch, BatchTransform
from sota_exp.stages.random import RandomNumbers
from sota_exp.stages.stage import Count, Several, require
from sota_exp.techniques.augmentation.policy import ops
from sota_exp.techniques.augmentation.policy.space import OperationSpace, build_space, randaugment_ranges


@cache
def build_randaugment_space(num_bins: int, size: int) -> OperationSpace:
    """The operations of RandAugment and their magnitudes for images of `size` pixels."""
    return build_space(randaugment_ranges(size), num_bins)


@dataclass(frozen=True, kw_only=True)
class RandAugment(BatchTransform):
    num_ops: Count
    magnitude: int
    num_magnitude_bins: Several
    interpolation: ops.Interpolation

    def __post_init__(self) -> None:
        super().__post_init__()
        legal = f"a bin in [0, num_magnitude_bins={self.num_magnitude_bins})"
        require(0 <= self.magnitude < self.num_magnitude_bins, "magnitude", self.magnitude, legal)

    def __call__(self, batch: Batch, progress: float, rng: RandomNumbers) -> Batch:
        space = build_randaugment_space(self.num_magnitude_bins, batch.images.shape[-1])
        images = batch.images
        for _ in range(self.num_ops):
            drawn = rng.integers(len(space.ops), len(batch))
            magnitudes = space.magnitude(drawn, self.magnitude, rng.uniform(len(batch)))
            images = ops.apply_ops(images, space.ops[drawn], magnitudes, self.interpolation)
        return batch.with_images(images)
