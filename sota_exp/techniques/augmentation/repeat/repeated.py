"""RepeatedAugmentation: repeats each image several times in a batch, each time augmented differently.

    order = first N of (π₁ … π₁, π₂ … π₂, …), each index of a random permutation π num_repeats times

An epoch still has N samples, but only ceil(N / num_repeats) distinct images. Copies are adjacent, so they are in one
batch. With several processes they go to different ones, as each takes every world_size-th index, like torchvision's
RASampler.

Paper: Hoffer et al. 2019, Augment your batch, arXiv 1901.09335; Berman et al. 2019, MultiGrain, arXiv 1902.05509
Setting: num_repeats 4 with 600 epochs: +0.18 points for ResNet-50 on ImageNet in torchvision's recipe
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from sota_exp.stages.augmentation import Sampler
from sota_exp.stages.random import RandomStreams
from sota_exp.stages.stage import Count


def repeat_indices(order: Tensor, num_repeats: int) -> Tensor:
    """Order int64 [N] → its first ceil(N / num_repeats) indices, each repeated, copies adjacent: int64 [N]."""
    num_distinct = -(-len(order) // num_repeats)
    return order[:num_distinct].repeat_interleave(num_repeats)[: len(order)]


@dataclass(frozen=True, kw_only=True)
class RepeatedAugmentation(Sampler):
    num_repeats: Count

    def __call__(self, num_samples: int, epoch: int, streams: RandomStreams) -> Tensor:
        order = torch.randperm(num_samples, generator=streams.generator("order", epoch))
        return repeat_indices(order, self.num_repeats)
