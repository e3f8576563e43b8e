"""Size of the training crops, the crops themselves, and the order of the images in an epoch."""

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from sota_exp.stages.data import Images
from sota_exp.stages.random import RandomNumbers, RandomStreams
from sota_exp.stages.stage import Stage


class TrainSize(Stage):
    @abstractmethod
    def __call__(self, image_size: int) -> int:
        """Side in evaluation, in pixels → side of a training crop, in pixels."""


class Crop(Stage):
    """Cuts square training crops out of images of any size."""

    @abstractmethod
    def __call__(self, images: Images, indices: Tensor, size: int, rng: RandomNumbers, interpolation: str) -> Tensor:
        """Crops of the images at `indices`, int64 [B]: uint8 [B, 3, S, S], S = `size`, resized with antialiasing."""

    def compute_magnification(self, sizes: Tensor, size: int, rng: RandomNumbers) -> Tensor:
        """Side of an object in the crop over its side in the image, geometric mean of both axes: float64 [B].

        sizes: int64 [B, 2], heights and widths in pixels. With equal `rng` the crops are those that `__call__` cuts.
        Here for crops that resize the shorter side to `size`.
        """
        return size / sizes.amin(1).double()


@dataclass(frozen=True, kw_only=True)
class NativeSize(TrainSize):
    def __call__(self, image_size: int) -> int:
        return image_size


class Sampler(Stage):
    """Chooses the images of an epoch and their order."""

    #: Whether it says which images are in one batch, so that no other order will do.
    composes_batches = False

    @abstractmethod
    def __call__(self, num_samples: int, epoch: int, streams: RandomStreams) -> Tensor:
        """Indices in [0, num_samples) in the order of training: int64 [N], equal on every rank."""


@dataclass(frozen=True, kw_only=True)
class Shuffle(Sampler):
    """Uses every training image once per epoch, in a new random order."""

    def __call__(self, num_samples: int, epoch: int, streams: RandomStreams) -> Tensor:
        return torch.randperm(num_samples, generator=streams.generator("order", epoch))
