"""CutMix: pastes a box of one image into another and mixes the targets in proportion to the area.

    box of sides sqrt(1 - λ)·S around a uniform centre, clipped to the image,  λ ~ Beta(alpha, alpha), one box per batch
    y = (1 - a)·y_i + a·y_j,  a = the fraction of pixels that were pasted, after clipping

Targets of weighted samples are weighted before they are mixed, so the loss is the mixture of both weighted losses. The
partner j is a copy of the same image i only if that cannot be avoided.

Paper: Yun et al. 2019, CutMix: Regularization Strategy to Train Strong Classifiers, arXiv 1905.04899
Setting: alpha 1.0, in turns with mixup: +0.28 points for ResNet-50 on ImageNet in torchvision's recipe
"""

from dataclasses import dataclass

from torch import Tensor

from sota_exp.stages.batch import Batch, BatchTransform
from sota_exp.stages.random import RandomNumbers
from sota_exp.techniques.augmentation.mix.pairing import MixingAlpha, choose_partners, mix_targets


def compute_cutmix_box(size: int, lam: float, centre: list[float]) -> tuple[int, int, int, int]:
    """(top, left, bottom, right) in an image of `size` px; `lam` is the fraction to keep, `centre` in [0, 1)²."""
    half = int(0.5 * (1 - lam) ** 0.5 * size)
    row, column = (int(fraction * size) for fraction in centre)
    return max(row - half, 0), max(column - half, 0), min(row + half, size), min(column + half, size)


def cutmix(batch: Batch, partner: Tensor, box: tuple[int, int, int, int]) -> Batch:
    """Each sample with `box` of its partner pasted in; partner: int64 [B], positions in the batch; `sources` stay."""
    partner = partner.to(batch.images.device, non_blocking=True)
    top, left, bottom, right = box
    pasted = (bottom - top) * (right - left) / (batch.images.shape[-2] * batch.images.shape[-1])
    images = batch.writable_images()
    images[:, :, top:bottom, left:right] = images[:, :, top:bottom, left:right][partner]
    return mix_targets(batch.with_images(images), partner, pasted)


@dataclass(frozen=True, kw_only=True)
class CutMix(BatchTransform):
    alpha: MixingAlpha

    def __call__(self, batch: Batch, progress: float, rng: RandomNumbers) -> Batch:
        lam, centre = rng.shared_beta(self.alpha), rng.shared_uniform(2).tolist()
        partner = choose_partners(batch.sources, rng.uniform(len(batch), 3))
        return cutmix(batch, partner, compute_cutmix_box(batch.images.shape[-1], lam, centre))
