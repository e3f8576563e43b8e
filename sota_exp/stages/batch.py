"""A batch, and transforms that change it on the device."""

from abc import abstractmethod
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from sota_exp.stages.random import RandomNumbers
from sota_exp.stages.stage import Stage


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Images and targets of one optimizer step or micro-batch, on the device of the model.

    images: uint8 [B, 3, S, S] before normalization, float [B, 3, S, S] after it.
    targets: float [B, C], soft targets; rows sum to 1.
    weights: float [B], the factor of each sample's loss.
    sources: int64 [B], on the CPU: index of the training image that each sample was cut from, by which mixing pairs.
    teacher_logits: float [B, C] of a distillation teacher, or an empty tensor.
    epoch: number of epochs that are complete.
    owns_images: whether no other object uses the memory of `images`, so that a transform may write into it.
    """

    images: Tensor
    targets: Tensor
    weights: Tensor
    sources: Tensor
    teacher_logits: Tensor = field(default_factory=lambda: torch.empty(0))
    epoch: int = 0
    owns_images: bool = False

    def __len__(self) -> int:
        return len(self.images)

    def with_images(self, images: Tensor) -> "Batch":
        return replace(self, images=images)

    def writable_images(self) -> Tensor:
        """Images [B, 3, S, S] that may be written into: the batch's own where it owns them, else a copy."""
        return self.images if self.owns_images else self.images.clone()

    def rows(self, start: int, stop: int) -> "Batch":
        """Samples start to stop − 1, as one micro-batch."""
        cut = slice(start, stop)
        return replace(
            self,
            images=self.images[cut],
            targets=self.targets[cut],
            weights=self.weights[cut],
            sources=self.sources[cut],
            teacher_logits=self.teacher_logits[cut],
        )


class BatchTransform(Stage):
    @abstractmethod
    def __call__(self, batch: Batch, progress: float, rng: RandomNumbers) -> Batch:
        """B samples → B samples. progress: fraction of training that is done, in [0, 1). rng: its random numbers."""


@dataclass(frozen=True, kw_only=True)
class KeepBatch(BatchTransform):
    def __call__(self, batch: Batch, progress: float, rng: RandomNumbers) -> Batch:
        return batch
