"""Evaluation: views, how one of them is chosen, predictions, and tuning after training."""

from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from sota_exp.stages.random import Streams
from sota_exp.stages.stage import Stage, require


class Predictor(Stage):
    """Normalized images [B, 3, S, S] → logits [B, C]."""

    @abstractmethod
    def __call__(self, model: nn.Module, images: Tensor) -> Tensor: ...


@dataclass(frozen=True, kw_only=True)
class OneView(Predictor):
    """Scores each image once, as it is."""

    def __call__(self, model: nn.Module, images: Tensor) -> Tensor:
        return model(images)


@dataclass(frozen=True, kw_only=True)
class View:
    """What evaluation sees of an image: the shorter side resized to `resize` pixels, then the central `size` × `size`."""

    resize: int
    size: int

    def __post_init__(self) -> None:
        legal = f"pixels, at most the {self.resize} that the shorter side is resized to"
        require(0 < self.size <= self.resize, "size", self.size, legal)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The view that ships, by its place in the list, and what the choosing says about it in plain values."""

    index: int
    report: dict[str, Any]


class Resolution(Stage):
    """The views that evaluation may choose from, the default first, and how one of them is chosen."""

    @abstractmethod
    def views(self) -> list[View]: ...

    @abstractmethod
    def choose(self, correct: Tensor, labels: Tensor) -> Choice:
        """From which validation images (labels int64 [N]) are recognized in each view: bool [V, N], V ≥ 2."""


@dataclass(frozen=True, kw_only=True)
class TrainingView:
    """The training images as evaluation shows images.

    read: positions int64 [B] → normalized images [B, 3, S, S] in the default view, on the network's device.
    labels: int64 [N], on that device. precision: the context of a forward pass.
    """

    read: Callable[[Tensor], Tensor]
    labels: Tensor
    precision: Callable[[], AbstractContextManager[None]]


class FineTune(Stage):
    """Adapts the weights that ship to images as evaluation shows them, after training."""

    @abstractmethod
    def __call__(self, network: nn.Module, training: TrainingView, streams: Streams) -> bool:
        """Tune `network` in place; whether it was changed."""


@dataclass(frozen=True, kw_only=True)
class AsTrained(FineTune):
    """Ships the weights as training left them."""

    def __call__(self, network: nn.Module, training: TrainingView, streams: Streams) -> bool:
        return False
