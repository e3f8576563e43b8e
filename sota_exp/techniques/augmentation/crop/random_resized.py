"""RandomResizedCrop: cuts a box of random area and aspect ratio from each image and resizes it to the training size.

    area ~ U(scale) · H · W,  log(width / height) ~ U(log ratio),  corner uniform, box inside the image

The first of ten draws that fits into the image is used; if none fits, the largest centred box with a ratio in range.

Paper: Szegedy et al. 2014, Going Deeper with Convolutions, arXiv 1409.4842
Setting: scale [0.08, 1], ratio [3/4, 4/3] in every ImageNet recipe; scale [0.35, 1] for short trainings
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from sota_exp.data.resize import choose_first_fitting, draw_box_sides, resized_crop
from sota_exp.stages.augmentation import Crop
from sota_exp.stages.data import Images
from sota_exp.stages.random import RandomNumbers
from sota_exp.stages.stage import Legal, PositiveSpan

NUM_ATTEMPTS = 10


def sample_crop_boxes(sizes: Tensor, scale: list[float], ratio: list[float], rng: RandomNumbers) -> Tensor:
    """Random boxes in pixels, int64 [B, 4] (top, left, height, width), inside images of `sizes`, int64 [B, 2]."""
    num = len(sizes)
    tries, corner = rng.uniform(num, NUM_ATTEMPTS, 2).double(), rng.uniform(num, 2).double()
    boxes = draw_box_sides(sizes.prod(1, keepdim=True), scale, ratio, tries)
    box, found = choose_first_fitting(boxes, ((boxes > 0) & (boxes <= sizes[:, None])).all(2))
    if not found.all():
        box = torch.where(found, box, compute_largest_boxes(sizes, ratio))
    free = sizes - box
    placed = (corner * (free + 1)).long()
    return torch.cat([torch.where(found, placed, free // 2), box], dim=1)


def compute_largest_boxes(sizes: Tensor, ratio: list[float]) -> Tensor:
    """The largest (height, width) with a width/height in `ratio` that fits into `sizes`, both int64 [B, 2]."""
    height, width = sizes.unbind(1)
    limited_height = torch.minimum(height, (width / ratio[0]).round().long())
    limited_width = torch.minimum(width, (height * ratio[1]).round().long())
    return torch.stack([limited_height, limited_width], dim=1)


@dataclass(frozen=True, kw_only=True)
class RandomResizedCrop(Crop):
    scale: Annotated[
        list[float],
        Legal(lambda value: len(value) == 2 and 0 < value[0] <= value[1] <= 1, "[min, max] fractions in (0, 1]"),
    ]
    ratio: PositiveSpan

    def __call__(self, images: Images, indices: Tensor, size: int, rng: RandomNumbers, interpolation: str) -> Tensor:
        boxes = sample_crop_boxes(images.sizes(indices), self.scale, self.ratio, rng)
        return resized_crop(images, indices, boxes, size, interpolation)

    def compute_magnification(self, sizes: Tensor, size: int, rng: RandomNumbers) -> Tensor:
        return size / sample_crop_boxes(sizes, self.scale, self.ratio, rng)[:, 2:].double().prod(1).sqrt()
