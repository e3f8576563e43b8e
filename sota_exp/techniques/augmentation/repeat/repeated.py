"""RepeatedAugmentation: shows each image several times in a batch, augmented differently, and fewer images in an epoch.

    order = first N of (π₁ … π₁, π₂ … π₂, …), each index of a random permutation π num_repeats times

An epoch keeps its N samples, of ceil(N / num_repeats) distinct images. Copies are neighbours, so they meet in a batch; on
several processes they go to different ones, as in torchvision's RASampler, since each takes every world_size-th index.

Paper: Hoffer et al. 2019, Augment your batch, arXiv 1901.09335; Berman et al. 2019, MultiGrain, arXiv 1902.05509
Setting: num_repeats 4 with 600 epochs brought ResNet-50 +0.18 points on ImageNet in torchvision's recipe
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from sota_exp.stages.augmentation import Sampler
from sota_exp.stages.random import Streams
from sota_exp.stages.stage import require


def repeat(order: Tensor, num_repeats: int) -> Tensor:
    """As many indices as `order` has (int64 [N]), its first ceil(N / num_repeats) repeated, copies side by side."""
    num_distinct = -(-len(order) // num_repeats)
    return order[:num_distinct].repeat_interleave(num_repeats)[: len(order)]


@dataclass(frozen=True, kw_only=True)
class RepeatedAugmentation(Sampler):
    """Copies of an image in a batch: `num_repeats`."""

    num_repeats: int

    def __post_init__(self) -> None:
        require(self.num_repeats >= 1, "num_repeats", self.num_repeats, "copies of each image, at least 1")

    def __call__(self, num_samples: int, epoch: int, streams: Streams) -> Tensor:
        order = torch.randperm(num_samples, generator=streams.generator("order", epoch))
        return repeat(order, self.num_repeats)
