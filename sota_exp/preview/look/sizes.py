"""Sizes of the images, and how many of them are enlarged for training or evaluation."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sota_exp.stages.data import DataSet
from sota_exp.stages.evaluation import EvaluationView


@dataclass(frozen=True, kw_only=True)
class ImageSizes:
    """Sizes of all images in pixels, and the sizes to which they are resized.

    sizes: int64 [N, 2] (height, width). train_size: side of the training crop in pixels. view: the evaluation view.
    """

    sizes: Tensor
    train_size: int
    view: EvaluationView

    @property
    def shorter_side(self) -> Tensor:
        """The shorter side in pixels, int64 [N]."""
        return self.sizes.amin(1)

    @property
    def aspect_ratio(self) -> Tensor:
        """Width over height, float64 [N]."""
        return self.sizes[:, 1].double() / self.sizes[:, 0].double()

    def num_below(self, side: int) -> int:
        """Number of images whose shorter side is below `side` pixels: they are enlarged to reach it."""
        return int((self.shorter_side < side).sum())


def read_image_sizes(data: DataSet, train_size: int, view: EvaluationView) -> ImageSizes:
    """The sizes of the images of all splits."""
    everything = torch.cat([data.train, data.val, data.test])
    return ImageSizes(sizes=data.images.sizes(everything), train_size=train_size, view=view)
