"""RandomFlip: mirrors each image left to right with probability p.

    x[:, :, ::-1] with probability p

Paper: Simonyan, Zisserman 2014, Very Deep Convolutional Networks for Large-Scale Image Recognition, arXiv 1409.1556
Setting: p 0.5 everywhere but on sets whose labels a mirror changes (digits, text, left and right hands)
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from sota_exp.resample import take
from sota_exp.stages import Batch, BatchTransform, require
from sota_exp.streams import Draws


def flip_where(images: Tensor, chosen: Tensor) -> Tensor:
    """Images [B, 3, S, S], those `chosen` (bool [B], on the CPU) mirrored left to right."""
    rows = torch.where(chosen, len(images) + chosen.cumsum(0) - 1, torch.arange(len(images)))
    return take(torch.cat([images, take(images, chosen.nonzero().flatten()).flip(-1)]), rows)


@dataclass(frozen=True, kw_only=True)
class RandomFlip(BatchTransform):
    """Probability of a mirror image: `p`."""

    p: float

    def __post_init__(self) -> None:
        require(0 <= self.p <= 1, "p", self.p, "a probability in [0, 1]")

    def __call__(self, batch: Batch, progress: float, rng: Draws) -> Batch:
        return batch.with_images(flip_where(batch.images, rng.uniform(len(batch)) < self.p))
