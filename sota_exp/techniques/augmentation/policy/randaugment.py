"""RandAugment: applies several operations in sequence, drawn uniformly, all with the same strength.

    x ← op_N(… op_1(x)),  op_k ~ U(operations) at magnitude bin `magnitude` of `num_magnitude_bins`, sign ±1

timm's RandAugment applies each op_k with probability `p` 0.5 and draws its bin from N(magnitude, magnitude_std²),
clipped. `operations`: torchvision's 14, or timm's 15 (with invert and an addition to dark levels, without identity),
of which posterize keeps 4 … 0 bits instead of 8 … 4. With `timm_inc1` all of them, as torchvision's, become stronger
with the magnitude; with `timm` posterize and solarize become weaker, and color, contrast, brightness and sharpness go
from 0.1 to 1.9 times the image's. All fill with black; timm fills with the mean colour, and half the time interpolates
bicubically.

Paper: Cubuk, Zoph, Shlens, Le 2019, RandAugment: Practical automated data augmentation, arXiv 1909.13719
Setting: num_ops 2, magnitude 9 of 31; ResNet-50 on ImageNet: 76.3 → 77.6 %; larger networks need a larger magnitude
"""

from dataclasses import dataclass
from functools import cache
from typing import Annotated

import torch
from torch import Tensor

from sota_exp.stages.batch import Batch, BatchTransform
from sota_exp.stages.random import RandomNumbers
from sota_exp.stages.stage import Count, Fraction, Legal, NonNegative, Several, added_field, one_of
from sota_exp.techniques.augmentation.policy import ops
from sota_exp.techniques.augmentation.policy.ops import Interpolation
from sota_exp.techniques.augmentation.policy.space import (
    OperationSpace,
    build_space,
    build_timm_space,
    randaugment_ranges,
)

#: Position of the operation that changes nothing.
IDENTITY = ops.OP_NAMES.index("identity")

OPERATIONS = ("torchvision", "timm", "timm_inc1")


@cache
def build_randaugment_space(num_bins: int, size: int, operations: str = "torchvision") -> OperationSpace:
    """The operations of RandAugment and their magnitudes for images of `size` pixels."""
    if operations == "torchvision":
        return build_space(randaugment_ranges(size), num_bins)
    return build_timm_space(num_bins, size, increasing=operations == "timm_inc1")


@dataclass(frozen=True, kw_only=True)
class RandAugment(BatchTransform):
    num_ops: Count
    magnitude: Annotated[
        int,
        Legal(
            lambda value, num_magnitude_bins: 0 <= value < num_magnitude_bins,
            "a bin in [0, num_magnitude_bins={num_magnitude_bins})",
        ),
    ]
    num_magnitude_bins: Several
    interpolation: Interpolation
    p: Fraction = added_field(1.0)
    magnitude_std: NonNegative = added_field(0.0)
    operations: Annotated[str, one_of(*OPERATIONS)] = added_field("torchvision")

    def __call__(self, batch: Batch, progress: float, rng: RandomNumbers) -> Batch:
        space = build_randaugment_space(self.num_magnitude_bins, batch.images.shape[-1], self.operations)
        images = batch.images
        for _ in range(self.num_ops):
            drawn = rng.integers(len(space.ops), len(batch))
            coin, bins = rng.uniform(len(batch)), self._draw_bins(len(batch), rng)
            chosen = space.ops[drawn]
            if self.p < 1:
                chosen = torch.where(rng.uniform(len(batch)) < self.p, chosen, IDENTITY)
            images = ops.apply_ops(images, chosen, space.magnitude(drawn, bins, coin), self.interpolation)
        return batch.with_images(images)

    def _draw_bins(self, num: int, rng: RandomNumbers) -> Tensor | int:
        """A magnitude bin per image, int64 [num]; the same for all without noise."""
        if self.magnitude_std == 0:
            return self.magnitude
        noise = torch.special.ndtri(rng.uniform(num).double().clamp(1e-12, 1 - 1e-12))
        bins = (self.magnitude + self.magnitude_std * noise).round().long()
        return bins.clamp(0, self.num_magnitude_bins - 1)
