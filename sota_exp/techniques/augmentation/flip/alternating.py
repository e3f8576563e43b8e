"""AlternatingFlip: flips each image horizontally in every other epoch; a fixed half of the images starts flipped.

    flipped in epoch e  ⇔  (bit(source) + e) mod 2 = 1,  bit: one bit of a hash of the image's index

Any two consecutive epochs contain both views of every image, while random flips repeat a view half of the time.

Paper: Jordan 2024, 94% on CIFAR-10 in 3.29 Seconds on a Single A100 GPU, arXiv 2404.00498
Setting: instead of random flips in short trainings: the paper's CIFAR-10 network reaches 94 % in 9.9 epochs
"""

from dataclasses import dataclass

from torch import Tensor

from sota_exp.stages.batch import Batch, BatchTransform
from sota_exp.stages.random import RandomNumbers
from sota_exp.techniques.augmentation.flip.random import flip_where


def compute_hash_bit(sources: Tensor) -> Tensor:
    """Indices int64 [B] → a fixed pseudo-random bit (0 or 1) of each, int64 [B], by a multiply-shift hash."""
    mixed = sources
    for _ in range(2):
        mixed = ((mixed ^ (mixed >> 15)) * 0x2C1B3C6D + 0x297A2D39) & 0xFFFFFFFF
    return (mixed >> 16) & 1


@dataclass(frozen=True, kw_only=True)
class AlternatingFlip(BatchTransform):
    def __call__(self, batch: Batch, progress: float, rng: RandomNumbers) -> Batch:
        return batch.with_images(flip_where(batch.images, (compute_hash_bit(batch.sources) + batch.epoch) % 2 == 1))
