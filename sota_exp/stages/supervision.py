"""Which labels an epoch learns from."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sota_exp.stages.augmentation import Sampler
from sota_exp.stages.random import Streams
from sota_exp.stages.stage import Stage


@dataclass(frozen=True, kw_only=True)
class Supervised:
    """What an epoch learns from: a label (int64 [N]) and a weight (float [N]) for every training image.

    metrics: what there is to say about these labels, for the epoch's record.
    """

    labels: Tensor
    weights: Tensor
    metrics: dict[str, float] = field(default_factory=dict)


class Supervision(Stage):
    """Which labels are learned from, and how often each image is drawn because of it."""

    @abstractmethod
    def content(self) -> str:
        """A hash of the files it reads, for the fingerprint; empty where there are none."""

    @abstractmethod
    def sampler(self, inner: Sampler, labels: Tensor, num_epochs: int, batch_size: int) -> Sampler:
        """The order of every epoch, from the true labels (int64 [N]) and the order that `inner` gives a pool."""

    @abstractmethod
    def __call__(
        self, labels: Tensor, num_classes: int, progress: float, features: Callable[[], Tensor], streams: Streams
    ) -> Supervised:
        """What the epoch that starts at `progress` learns from.

        features: extracts what the classifier reads of each training image, float32 [N, D], rows of unit length.
        """


@dataclass(frozen=True, kw_only=True)
class TrueLabels(Supervision):
    """Learns from the label of every training image."""

    def content(self) -> str:
        return ""

    def sampler(self, inner: Sampler, labels: Tensor, num_epochs: int, batch_size: int) -> Sampler:
        return inner

    def __call__(
        self, labels: Tensor, num_classes: int, progress: float, features: Callable[[], Tensor], streams: Streams
    ) -> Supervised:
        return Supervised(labels=labels, weights=torch.ones(len(labels)))
