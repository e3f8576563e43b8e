"""Evaluation: sizes, the choice between them, predictions, and fine-tuning after training."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sota_exp.stages.random import RandomStreams
from sota_exp.stages.stage import Stage, require


class Predictor(Stage):
    """Predicts classes, possibly from several views of each image (test-time augmentation)."""

    @abstractmethod
    def __call__(self, model: nn.Module, images: Tensor) -> Tensor:
        """Normalized images, float [B, 3, S, S] → logits [B, C]."""


@dataclass(frozen=True, kw_only=True)
class OneView(Predictor):
    def __call__(self, model: nn.Module, images: Tensor) -> Tensor:
        return model(images)


class Metrics(Stage):
    """Further metrics, beside those that every run measures."""

    @abstractmethod
    def __call__(self, logits: Tensor, labels: Tensor) -> dict[str, float]:
        """Name → finite number, of Python or NumPy, or a tensor without dimensions.

        logits: float32 [N, C] on the CPU, one row per image. labels: int64 [N].
        """


@dataclass(frozen=True, kw_only=True)
class NoFurtherMetrics(Metrics):
    def __call__(self, logits: Tensor, labels: Tensor) -> dict[str, float]:
        return {}


@dataclass(frozen=True, kw_only=True)
class EvaluationView:
    """An evaluation size: the shorter side is resized to `resize` pixels, then the central `size` × `size` is cut."""

    resize: int
    size: int

    def __post_init__(self) -> None:
        legal = f"pixels, at most the {self.resize} that the shorter side is resized to"
        require(0 < self.size <= self.resize, "size", self.size, legal)


@dataclass(frozen=True, kw_only=True)
class ViewChoice:
    """The chosen view, as an index into the list of views, and the numbers behind the choice (JSON values)."""

    index: int
    report: dict[str, Any]


class Resolution(Stage):
    """Views that evaluation may use, and how one of them is chosen."""

    @abstractmethod
    def views(self) -> list[EvaluationView]:
        """The V views to compare, the default first."""

    @abstractmethod
    def choose(self, correct: Tensor, labels: Tensor) -> ViewChoice:
        """correct: bool [V, N], V ≥ 2: is validation image n classified correctly in view v? labels: int64 [N]."""


@dataclass(frozen=True, kw_only=True)
class TrainingImages:
    """The training images, preprocessed as in evaluation.

    read: positions of each batch, int64 [B] → its normalized images, float [B, 3, S, S], in the default view, on the
    network's device; those of the next batch are read while one is used.
    labels: int64 [N], on the CPU. precision: returns the autocast context of a forward pass. shuffle: generator and
    batch size → the positions in a random order in which they are read without detours, int64 [N].
    """

    read: Callable[[Iterable[Tensor]], Iterator[Tensor]]
    shuffle: Callable[[torch.Generator, int], Tensor]
    labels: Tensor
    precision: Callable[[], AbstractContextManager[None]]


class FineTuning(Stage):
    """Fine-tunes the finished weights on training images that are preprocessed as in evaluation."""

    @abstractmethod
    def __call__(self, network: nn.Module, training: TrainingImages, streams: RandomStreams) -> bool:
        """Tune `network`, [B, 3, S, S] → [B, C], in place; returns whether it was changed."""


@dataclass(frozen=True, kw_only=True)
class NoFineTuning(FineTuning):
    def __call__(self, network: nn.Module, training: TrainingImages, streams: RandomStreams) -> bool:
        return False
