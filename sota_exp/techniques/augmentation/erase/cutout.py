"""Cutout: fills a square in every image with the mean colour; the square may extend beyond the border.

    pixels ← 0 after normalization, in a square of side round(length_fraction · S), centre uniform, clipped to the image

Paper: DeVries, Taylor 2017, Improved Regularization of Convolutional Neural Networks with Cutout, arXiv 1708.04552
Setting: length_fraction 0.5 (16 of 32 px) on CIFAR-10 took ResNet-18 from 4.72 to 3.99 % error; 0.25 on CIFAR-100
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from sota_exp.stages.batch import Batch, BatchTransform
from sota_exp.stages.random import RandomNumbers
from sota_exp.stages.stage import FractionAboveZero
from sota_exp.techniques.augmentation.erase.rectangle import erase


def compute_cutout_boxes(centres: Tensor, size: int, length: int) -> Tensor:
    """Squares of side `length` around `centres`, int64 [B, 2], clipped to `size`: [B, 4] (top, left, bottom, right)."""
    start = centres - length // 2
    return torch.cat([start, start + length], dim=1).clamp(0, size)


@dataclass(frozen=True, kw_only=True)
class Cutout(BatchTransform):
    length_fraction: FractionAboveZero

    def __call__(self, batch: Batch, progress: float, rng: RandomNumbers) -> Batch:
        size = batch.images.shape[-1]
        centres = rng.integers(size, len(batch), 2)
        return erase(batch, compute_cutout_boxes(centres, size, round(self.length_fraction * size)))
