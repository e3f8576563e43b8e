"""Multi-crop averaging: averages the predictions for five overlapping crops of each image, the corners and the centre.

p = (1/5) Σ_v softmax(f(crop_v)), returned as log p. The input is the image at the size of evaluation. Each crop covers
`crop_fraction` of its side and is resized back: objects look larger, as in training with random resized crops.

Paper: Krizhevsky, Sutskever & Hinton 2012, ImageNet Classification with Deep Convolutional Neural Networks (NIPS, no
arXiv)
Setting: crop_fraction 0.875, at five times the cost of evaluation.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sota_exp.stages.evaluation import Predictor
from sota_exp.stages.stage import Legal
from sota_exp.techniques.evaluation.tta.averaging import compute_log_mean_probability


def cut_five_crops(images: Tensor, crop_fraction: float) -> list[Tensor]:
    """Corner and centre crops of images [B, 3, S, S], of side `crop_fraction`·S, each resized back to [B, 3, S, S]."""
    size = images.shape[-1]
    part = max(1, round(size * crop_fraction))
    end, middle = size - part, (size - part) // 2
    corners = [(0, 0), (0, end), (end, 0), (end, end), (middle, middle)]
    cuts = [images[..., top : top + part, left : left + part] for top, left in corners]
    return [F.interpolate(cut, size=(size, size), mode="bilinear", antialias=True) for cut in cuts]


@dataclass(frozen=True, kw_only=True)
class MultiCropAveraging(Predictor):
    crop_fraction: Annotated[float, Legal(lambda value: 0.5 <= value <= 1, "a fraction in [0.5, 1]")]

    def __call__(self, model: nn.Module, images: Tensor) -> Tensor:
        return compute_log_mean_probability(
            torch.stack([model(part) for part in cut_five_crops(images, self.crop_fraction)])
        )
