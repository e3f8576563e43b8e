"""PadCrop: pads each image and cuts a crop of the training size at a random position.

    pad S × S to (S + 2p) × (S + 2p), p = round(padding_fraction · S), corner uniform in {0, …, 2p}²

An image that is not S × S is center-cropped first: shorter side resized to S, central S × S cut.

Paper: He, Zhang, Ren, Sun 2015, Deep Residual Learning for Image Recognition, arXiv 1512.03385
Setting: padding_fraction 0.125 (4 px at 32) with black borders is the CIFAR standard; `reflect` suits short trainings
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from sota_exp.data.resize import center_crop
from sota_exp.stages.augmentation import Crop
from sota_exp.stages.data import Images
from sota_exp.stages.random import RandomNumbers
from sota_exp.stages.stage import Legal, one_of

PADDING_MODES = ("constant", "reflect")


def cut_crops(padded: Tensor, corners: Tensor, size: int) -> Tensor:
    """Crops of uint8 [B, P, P, 3] at `corners`, int64 [B, 2] (top, left): uint8 [B, 3, size, size], channels last."""
    num, side = padded.shape[:2]
    # index_select copies whole rows of pixels, then, after a transpose, whole columns.
    for axis in (0, 1):
        start = torch.arange(num) * side + corners[:, axis]
        lines = (start[:, None] + torch.arange(size)).flatten()
        flat = padded.reshape(num * side, -1).index_select(0, lines)
        padded = flat.view(num, size, -1, 3).transpose(1, 2)
    return padded.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True, kw_only=True)
class PadCrop(Crop):
    padding_fraction: Annotated[float, Legal(lambda value: 0 <= value <= 0.5, "a fraction in [0, 0.5]")]
    padding_mode: Annotated[str, one_of(*PADDING_MODES)]

    def __call__(self, images: Images, indices: Tensor, size: int, rng: RandomNumbers, interpolation: str) -> Tensor:
        padding = round(self.padding_fraction * size)
        centred = center_crop(images, indices, size, size, interpolation).permute(0, 2, 3, 1).numpy()
        sides = ((0, 0), (padding, padding), (padding, padding), (0, 0))
        padded = torch.from_numpy(np.pad(centred, sides, "reflect" if self.padding_mode == "reflect" else "constant"))
        corners = rng.integers(2 * padding + 1, len(indices), 2)
        return cut_crops(padded, corners, size)
