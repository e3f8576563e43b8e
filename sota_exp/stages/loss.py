"""Losses, and teachers to distill from."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sota_exp.stages.batch import Batch, BatchTransform, KeepBatch
from sota_exp.stages.data import Preprocessing
from sota_exp.stages.stage import Stage


class Loss(Stage):
    @abstractmethod
    def __call__(self, logits: Tensor, batch: Batch) -> Tensor:
        """Logits [B, C] and a batch with soft targets [B, C] → loss per sample, float [B]."""


class Distillation(Stage):
    """A teacher network: a batch transform that adds its logits, and a loss that uses them."""

    @abstractmethod
    def content_hash(self) -> str:
        """A hash of the teacher's weights, for the fingerprint; empty without a teacher."""

    @abstractmethod
    def build_teacher(
        self, classes: Sequence[str], preprocessing: Preprocessing, device: torch.device
    ) -> BatchTransform:
        """The transform that fills `Batch.teacher_logits`, float [B, C], with columns in the order of `classes`.

        classes: the student's C classes. preprocessing: that of the student's images.
        """

    @abstractmethod
    def wrap(self, loss: Loss) -> Loss:
        """Adds the distillation loss to `loss`; per sample, [B], as before."""


@dataclass(frozen=True, kw_only=True)
class NoTeacher(Distillation):
    def content_hash(self) -> str:
        return ""

    def build_teacher(
        self, classes: Sequence[str], preprocessing: Preprocessing, device: torch.device
    ) -> BatchTransform:
        return KeepBatch()

    def wrap(self, loss: Loss) -> Loss:
        return loss
