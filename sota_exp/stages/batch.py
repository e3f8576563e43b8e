"""Batches, and what changes them on the device."""

from abc import abstractmethod
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from sota_exp.stages.random import Draws
from sota_exp.stages.stage import Stage


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What flows through the batch transforms, on the device of the model.

    images: uint8 [B, 3, S, S] up to `normalize`, float [B, 3, S, S] after it.
    targets: float [B, C], soft from the first line of the step, rows sum to 1.
    weights: float [B], the share of each sample in the loss.
    sources: int64 [B], the index of the training image each sample was cut from (on the CPU: mixing pairs by it).
    teacher_logits: float [B, C] of a distillation teacher, or an empty tensor.
    epoch: how many whole passes over the training set came before.
    fresh: whether the images were made for this batch alone, so that a transform may write into them.
    """

    images: Tensor
    targets: Tensor
    weights: Tensor
    sources: Tensor
    teacher_logits: Tensor = field(default_factory=lambda: torch.empty(0))
    epoch: int = 0
    fresh: bool = False

    def __len__(self) -> int:
        return len(self.images)

    def with_images(self, images: Tensor) -> "Batch":
        return replace(self, images=images)

    def own_images(self) -> Tensor:
        """Images that may be written into: those of the batch where they are fresh, else a copy."""
        return self.images if self.fresh else self.images.clone()

    def rows(self, start: int, stop: int) -> "Batch":
        """Samples start…stop, as one micro-batch."""
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
    """Changes a batch on the device, with parameters drawn per sample from `rng`."""

    @abstractmethod
    def __call__(self, batch: Batch, progress: float, rng: Draws) -> Batch: ...


@dataclass(frozen=True, kw_only=True)
class KeepBatch(BatchTransform):
    """Leaves the batch as it is."""

    def __call__(self, batch: Batch, progress: float, rng: Draws) -> Batch:
        return batch
