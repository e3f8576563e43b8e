"""RandomFlip: flips each image horizontally with probability p.

    x[:, :, ::-1] with probability p

Paper: Simonyan, Zisserman 2014, Very Deep Convolutional Networks for Large-Scale Image Recognition, arXiv 1409.1556
Setting: p 0.5, except for data sets whose labels a flip changes (digits, text, left and right hands)
"""

from dataclasses import dataclass

from torch import Tensor

from sota_exp.data.resize import select_images
from sota_exp.stages.batch import Batch, BatchTransform
from sota_exp.stages.random import RandomNumbers
from sota_exp.stages.stage import Fraction


def flip_where(images: Tensor, chosen: Tensor) -> Tensor:
    """Images [B, 3, S, S] with those `chosen` (bool [B], on the CPU) flipped horizontally."""
    order = chosen.argsort(descending=True, stable=True)
    images = select_images(images, order)
    flipped = images[: int(chosen.sum())]
    flipped.copy_(flipped.flip(-1))
    return select_images(images, order.argsort())


@dataclass(frozen=True, kw_only=True)
class RandomFlip(BatchTransform):
    p: Fraction

    def __call__(self, batch: Batch, progress: float, rng: RandomNumbers) -> Batch:
        return batch.with_images(flip_where(batch.images, rng.uniform(len(batch)) < self.p))
