"""Labels and sample weights for training."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sota_exp.stages.augmentation import Sampler
from sota_exp.stages.random import RandomStreams
from sota_exp.stages.stage import Stage


@dataclass(frozen=True, kw_only=True)
class EpochLabels:
    """Labels (int64 [N]) and weights in the loss (float [N]) of all training images, for one epoch.

    metrics: measurements of these labels, which are logged with the epoch.
    """

    labels: Tensor
    weights: Tensor
    metrics: dict[str, float] = field(default_factory=dict)


class Supervision(Stage):
    """Chooses the labels to train with, and how often each image is drawn."""

    @abstractmethod
    def content_hash(self) -> str:
        """A hash of the files it reads, for the fingerprint; empty if it reads none."""

    @abstractmethod
    def sampler(self, inner: Sampler, labels: Tensor, num_epochs: int, batch_size: int) -> Sampler:
        """The sampler to train with; labels: the true ones, int64 [N]; inner: the order within a set of images."""

    @abstractmethod
    def __call__(
        self, labels: Tensor, num_classes: int, progress: float, features: Callable[[], Tensor], streams: RandomStreams
    ) -> EpochLabels:
        """Labels and weights of the epoch that starts at `progress` in [0, 1); labels: the true ones, int64 [N].

        features: computes the input of the classifier for each training image, float32 [N, D], rows of unit length.
        """


@dataclass(frozen=True, kw_only=True)
class TrueLabels(Supervision):
    def content_hash(self) -> str:
        return ""

    def sampler(self, inner: Sampler, labels: Tensor, num_epochs: int, batch_size: int) -> Sampler:
        return inner

    def __call__(
        self, labels: Tensor, num_classes: int, progress: float, features: Callable[[], Tensor], streams: RandomStreams
    ) -> EpochLabels:
        return EpochLabels(labels=labels, weights=torch.ones(len(labels)))
