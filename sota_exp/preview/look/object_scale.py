"""Object sizes in training and evaluation: how much larger objects are in training crops than in evaluation.

    gap = magnification of the training crop / magnification of the evaluation view
        = (S_train / √(h·w)) / (resize / min(H, W))     for a random crop of h × w px of an H × W image

For square images and crops with an area fraction a ~ U(scale) it is S_train / (resize·√a). The mean of its inverse is
(resize / S_train)·E[√a]: 0.80 for scale 0.08-1, train 224, resize 256, as in the paper. With an evaluation size that is
the gap times as large, objects are equally large in training and evaluation.

Paper: Touvron, Vedaldi, Douze, Jégou 2019, Fixing the train-test resolution discrepancy, arXiv 1906.06423, section 3
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from sota_exp.stages.evaluation import EvaluationView
from sota_exp.training.loop import TrainingSession

#: Number of random crops; the standard error of the median is below 0.5 %.
NUM_CROPS = 20_000


@dataclass(frozen=True, kw_only=True)
class ObjectScale:
    """Magnification of objects by random training crops, and by the evaluation view of the same images.

    train, test: magnifications in training and evaluation, float64 [N]; 1 leaves the size in pixels as it is.
    """

    train: Tensor
    test: Tensor
    train_size: int
    view: EvaluationView

    @property
    def scale_ratio(self) -> Tensor:
        """Size of an object in training over its size in evaluation, float64 [N]."""
        return self.train / self.test

    @property
    def median(self) -> float:
        return self.quantile(0.5)

    def quantile(self, share: float) -> float:
        """The quantile `share`, in [0, 1], of the gap."""
        return self.scale_ratio.quantile(share).item()

    @property
    def equal_evaluation_size(self) -> int:
        """Side of the evaluation crop in pixels, at the same crop ratio, at which the median gap would be 1."""
        return round(self.view.size * self.median)

    @property
    def equal_train_size(self) -> int:
        """Side of the training crop in pixels at which the median gap would be 1."""
        return round(self.train_size / self.median)

    @property
    def share_enlarged(self) -> float:
        """The fraction of training crops that are enlarged by the resize, in [0, 1]."""
        return (self.train > 1).double().mean().item()


def compute_object_scale(session: TrainingSession) -> ObjectScale:
    """The gap for `NUM_CROPS` training images, drawn with replacement, with one random crop each."""
    data, experiment, streams = session.data, session.experiment, session.streams
    places = torch.randint(len(data.train), (NUM_CROPS,), generator=streams.generator("look/object_scale", "images"))
    sizes, view = data.images.sizes(data.train[places]), experiment.evaluation.resolution.views()[0]
    draws = streams.random_numbers("look/object_scale", "crops")
    return ObjectScale(
        train=experiment.augmentation.crop.compute_magnification(sizes, session.crops.size, draws),
        test=view.resize / sizes.amin(1).double(),
        train_size=session.crops.size,
        view=view,
    )
