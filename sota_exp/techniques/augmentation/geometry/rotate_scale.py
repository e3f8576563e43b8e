"""RotateScale: rotates, zooms and shifts each image by random amounts, in one resampling.

    angle ~ U(-degrees, degrees),  zoom ~ U(scale),  shift / S ~ U(-translate_fraction, translate_fraction)²

Paper: Cireşan et al. 2010, Deep Big Simple Neural Nets Excel on Handwritten Digit Recognition, arXiv 1003.0358
Setting: degrees 15, scale [0.85, 1.15]; with elastic distortions as well, MLPs reached 0.35 % error on MNIST
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from sota_exp.data.resize import apply_affine
from sota_exp.stages.batch import Batch, BatchTransform
from sota_exp.stages.random import RandomNumbers
from sota_exp.stages.stage import Fraction, Legal, PositiveSpan
from sota_exp.techniques.augmentation.policy.ops import Interpolation


def compute_rotate_scale_matrices(degrees: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Inverse matrices [B, 2, 3]: rotate clockwise by `degrees` [B], zoom by `scale` [B], shift by [B, 2] px (x, y)."""
    cos, sin = degrees.deg2rad().cos() / scale, degrees.deg2rad().sin() / scale
    linear = torch.stack([cos, sin, -sin, cos], dim=1).view(-1, 2, 2)
    return torch.cat([linear, -linear @ shift[:, :, None]], dim=2)


@dataclass(frozen=True, kw_only=True)
class RotateScale(BatchTransform):
    degrees: Annotated[float, Legal(lambda value: 0 <= value <= 180, "the largest rotation, in [0, 180]")]
    scale: PositiveSpan
    translate_fraction: Fraction
    interpolation: Interpolation

    def __call__(self, batch: Batch, progress: float, rng: RandomNumbers) -> Batch:
        angle, zoom, *shift = rng.uniform(len(batch), 4).unbind(1)
        low, high = self.scale
        max_shift = self.translate_fraction * batch.images.shape[-1]
        matrices = compute_rotate_scale_matrices(
            self.degrees * (2 * angle - 1), low + (high - low) * zoom, max_shift * (2 * torch.stack(shift, dim=1) - 1)
        )
        return batch.with_images(apply_affine(batch.images, matrices, self.interpolation))
