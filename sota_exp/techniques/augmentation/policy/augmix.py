"""AugMix: blends each image with several augmented versions of itself.

    x' = m·x + (1 - m)·Σ_k w_k·chain_k(x),  m ~ U(0, 1),  w ~ Dirichlet(1, …, 1),  chain_k: 1 to 3 operations

m and w are the paper's Beta(1, 1) and Dirichlet(1): uniform over the interval and the simplex. Operations are drawn
uniformly, with magnitudes from the first `severity` of ten bins. The paper's consistency loss is not included.

Paper: Hendrycks et al. 2019, AugMix: A Simple Method to Improve Robustness and Uncertainty, arXiv 1912.02781
Setting: severity 3, mixture_width 3, chain_depth -1 (1 to 3 at random); improves accuracy on corrupted images most
"""

from dataclasses import dataclass
from functools import cache
from typing import Annotated

import torch
from torch import Tensor

from sota_exp.stages.batch import Batch, BatchTransform
from sota_exp.stages.random import RandomNumbers
from sota_exp.stages.stage import Count, Legal
from sota_exp.techniques.augmentation.policy import ops
from sota_exp.techniques.augmentation.policy.ops import Interpolation
from sota_exp.techniques.augmentation.policy.space import OperationSpace, build_space, randaugment_ranges

NUM_BINS = 10
IMAGENET_C_OPS = ("brightness", "color", "contrast", "sharpness")


@cache
def build_augmix_space(size: int, all_ops: bool) -> OperationSpace:
    """The operations of a chain for images of `size` px, without those of ImageNet-C unless `all_ops`."""
    ranges = {
        **randaugment_ranges(size),
        "translate_x": (0, size / 3, True),
        "translate_y": (0, size / 3, True),
        "posterize": (4, 0, False),
    }
    left_out = ("identity",) if all_ops else ("identity", *IMAGENET_C_OPS)
    return build_space({name: span for name, span in ranges.items() if name not in left_out}, NUM_BINS)


def compute_blend_weights(uniforms: Tensor) -> Tensor:
    """Uniforms [B, 1 + K] → weights [B, 1 + K] of the image (Beta(1, 1)) and of its K chains (Dirichlet(1))."""
    keep, exponentials = uniforms[:, :1], -torch.log1p(-uniforms[:, 1:])
    return torch.cat([keep, (1 - keep) * exponentials / exponentials.sum(1, keepdim=True).clamp(min=1e-30)], dim=1)


@dataclass(frozen=True, kw_only=True)
class AugMix(BatchTransform):
    severity: Annotated[int, Legal(lambda value: 1 <= value <= NUM_BINS, f"a whole number in [1, {NUM_BINS}]")]
    mixture_width: Count
    chain_depth: Annotated[int, Legal(lambda value: value == -1 or value >= 1, "at least 1, or -1 for random")]
    all_ops: bool
    interpolation: Interpolation

    def __call__(self, batch: Batch, progress: float, rng: RandomNumbers) -> Batch:
        num, device = len(batch), batch.images.device
        weights = (
            compute_blend_weights(rng.uniform(num, 1 + self.mixture_width))
            .to(device, non_blocking=True)
            .view(num, -1, 1, 1, 1)
        )
        blend = batch.images * weights[:, 0]
        for k in range(self.mixture_width):
            blend.add_(self.apply_chain(batch.images, rng) * weights[:, 1 + k])
        # Without 1e-3, rounding errors of the weights would lower some levels of images that no chain changed.
        return batch.with_images((blend + 1e-3).clamp_(0, 255).to(torch.uint8))

    def apply_chain(self, images: Tensor, rng: RandomNumbers) -> Tensor:
        """Images uint8 [B, 3, S, S] → the same after one chain of `chain_depth`, or 1 to 3, random operations each."""
        num, identity = len(images), ops.OP_NAMES.index("identity")
        space = build_augmix_space(images.shape[-1], self.all_ops)
        longest = 3 if self.chain_depth == -1 else self.chain_depth
        depth = 1 + rng.integers(3, num) if self.chain_depth == -1 else torch.full((num,), longest)
        for position in range(longest):
            drawn, bins = rng.integers(len(space.ops), num), rng.integers(self.severity, num)
            magnitudes = space.magnitude(drawn, bins, rng.uniform(num))
            op = torch.where(position < depth, space.ops[drawn], identity)
            images = ops.apply_ops(images, op, magnitudes, self.interpolation)
        return images
