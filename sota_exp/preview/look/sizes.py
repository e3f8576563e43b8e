"""How large the images are, and how many of them have to be enlarged to be trained or evaluated on."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sota_exp.stages.data import DataSet
from sota_exp.stages.evaluation import View


@dataclass(frozen=True, kw_only=True)
class ImageSizes:
    """Height and width of every image of the set in pixels, and what they are resized to.

    sizes: int64 [N, 2]. train_size: side of a training crop. view: what evaluation sees.
    """

    sizes: Tensor
    train_size: int
    view: View

    @property
    def shorter(self) -> Tensor:
        """Int64 [N]."""
        return self.sizes.amin(1)

    @property
    def aspect(self) -> Tensor:
        """Width over height, float64 [N]."""
        return self.sizes[:, 1].double() / self.sizes[:, 0].double()

    @property
    def num_small(self) -> int:
        """Images whose shorter side is below a training crop's: even when taken whole they are enlarged."""
        return int((self.shorter < self.train_size).sum())

    @property
    def num_enlarged(self) -> int:
        """Images that evaluation enlarges."""
        return int((self.shorter < self.view.resize).sum())

    @property
    def is_uniform(self) -> bool:
        return bool((self.sizes == self.sizes[0]).all())


def image_sizes(data: DataSet, train_size: int, view: View) -> ImageSizes:
    """Of all splits together."""
    everything = torch.cat([data.train, data.val, data.test])
    return ImageSizes(sizes=data.images.sizes(everything), train_size=train_size, view=view)
