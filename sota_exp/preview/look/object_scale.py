"""The train/test object-scale gap: how much larger objects look in training crops than in evaluation.

    gap = magnification of the training crop / magnification of the evaluation view
        = (S_train / √(h·w)) / (resize / min(H, W))     for a random crop of h × w px of an H × W image

For square images and crops of area share a ~ U(scale) it is S_train / (resize·√a); its inverse has the mean
(S_train⁻¹·resize)·E[√a]: 0.80 for scale 0.08-1, train 224, resize 256, as in the paper. Both sizes grow alike, so evaluation at
gap times the size would show objects as large as training does.

Paper: Touvron, Vedaldi, Douze, Jégou 2019, Fixing the train-test resolution discrepancy, arXiv 1906.06423, section 3
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from sota_exp.stages.augmentation import Crop
from sota_exp.stages.data import DataSet
from sota_exp.stages.evaluation import View
from sota_exp.stages.random import Draws, Streams

#: Crops that are drawn. The median's standard error is then below 0.5 %.
NUM_DRAWS = 20_000


@dataclass(frozen=True, kw_only=True)
class ObjectScale:
    """What 20,000 training crops do to the size of objects, against the evaluation view of the same images.

    train, test: magnifications of training and of evaluation, float64 [N]; 1 leaves an object's pixels as they are.
    """

    train: Tensor
    test: Tensor
    train_size: int
    view: View

    @property
    def gap(self) -> Tensor:
        """Side of an object in training over its side in evaluation, float64 [N]."""
        return self.train / self.test

    @property
    def median(self) -> float:
        return self.quantile(0.5)

    def quantile(self, share: float) -> float:
        return self.gap.quantile(share).item()

    @property
    def mean_inverse(self) -> float:
        """Mean of test over train: the number that the paper gives."""
        return (1 / self.gap).mean().item()

    @property
    def agreeing_size(self) -> int:
        """Side of the evaluation crop in pixels, at the same crop ratio, at which the median gap would be 1."""
        return round(self.view.size * self.median)

    @property
    def agreeing_train_size(self) -> int:
        """Side of the training crop in pixels at which the median gap would be 1."""
        return round(self.train_size / self.median)

    @property
    def share_enlarged(self) -> float:
        """The share of training crops that are smaller than what they are resized to."""
        return (self.train > 1).double().mean().item()


def object_scale(sizes: Tensor, crop: Crop, train_size: int, view: View, rng: Draws) -> ObjectScale:
    """The gap for images of `sizes`, int64 [N, 2], with one crop drawn for each."""
    train = crop.magnification(sizes, train_size, rng)
    return ObjectScale(train=train, test=view.resize / sizes.amin(1).double(), train_size=train_size, view=view)


def drawn_sizes(data: DataSet, streams: Streams, num: int = NUM_DRAWS) -> Tensor:
    """Sizes of `num` training images drawn with repetition, int64 [num, 2]."""
    places = torch.randint(len(data.train), (num,), generator=streams.generator("look/object_scale", "images"))
    return data.images.sizes(data.train[places])
