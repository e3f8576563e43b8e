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
    """Logits [B, C] and a batch with soft targets → loss per sample [B]."""

    @abstractmethod
    def __call__(self, logits: Tensor, batch: Batch) -> Tensor: ...


class Distillation(Stage):
    """A teacher: one batch transform that adds its logits, and a loss wrapped around the student's own."""

    @abstractmethod
    def content(self) -> str:
        """A hash of the teacher's weights, for the fingerprint; empty where there is no teacher."""

    @abstractmethod
    def teacher(self, classes: Sequence[str], preprocessing: Preprocessing, device: torch.device) -> BatchTransform:
        """The transform that fills `Batch.teacher_logits`, in the order of `classes`, the student's.

        preprocessing: what the student's images went through.
        """

    @abstractmethod
    def wrap(self, loss: Loss) -> Loss: ...


@dataclass(frozen=True, kw_only=True)
class NoTeacher(Distillation):
    """Learns from the labels alone."""

    def content(self) -> str:
        return ""

    def teacher(self, classes: Sequence[str], preprocessing: Preprocessing, device: torch.device) -> BatchTransform:
        return KeepBatch()

    def wrap(self, loss: Loss) -> Loss:
        return loss
