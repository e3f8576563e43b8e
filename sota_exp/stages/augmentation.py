"""Training crops, their size, and the order of an epoch."""

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from sota_exp.stages.data import Images
from sota_exp.stages.random import Draws, Streams
from sota_exp.stages.stage import Stage


class TrainSize(Stage):
    """The side of a training crop, from the side used in evaluation."""

    @abstractmethod
    def __call__(self, image_size: int) -> int: ...


class Crop(Stage):
    """Cuts training images out of the store: uint8 [B, 3, S, S], resized by `interpolation`, antialiased."""

    @abstractmethod
    def __call__(
        self, images: Images, indices: Tensor, size: int, rng: Draws, interpolation: str = "bilinear"
    ) -> Tensor: ...

    @abstractmethod
    def magnification(self, sizes: Tensor, size: int, rng: Draws) -> Tensor:
        """Side of an object in a crop over its side in the image, geometric mean of both axes: float64 [B].

        sizes: int64 [B, 2], height and width of the images; the same `rng` gives the crops that a call would cut.
        """


@dataclass(frozen=True, kw_only=True)
class NativeSize(TrainSize):
    """Trains at the size of evaluation."""

    def __call__(self, image_size: int) -> int:
        return image_size


class Sampler(Stage):
    """The order of an epoch: int64 indices into `num_samples` training images, equal on every rank."""

    @abstractmethod
    def __call__(self, num_samples: int, epoch: int, streams: Streams) -> Tensor: ...


@dataclass(frozen=True, kw_only=True)
class Shuffle(Sampler):
    """Every training image once an epoch, in a new order."""

    def __call__(self, num_samples: int, epoch: int, streams: Streams) -> Tensor:
        return torch.randperm(num_samples, generator=streams.generator("order", epoch))
