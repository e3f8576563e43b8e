"""Architectures, the weights they start from, which parts learn, and changes of a built network."""

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from sota_exp.stages.data import Preprocessing
from sota_exp.stages.stage import Stage


@dataclass(frozen=True, kw_only=True)
class Published:
    """Weights that somebody trained: a state dict, how its images were resized and normalized, and a hash of the content.

    evaluated_at: the sizes of its images for its published accuracy, in words; empty where nobody says.
    description: the `model.json` of the run that trained it; empty for all others.
    """

    state: dict[str, Tensor]
    preprocessing: Preprocessing
    content: str
    evaluated_at: str = ""
    description: dict[str, Any] = field(default_factory=dict)


class Model(Stage):
    """Builds an untrained network with `num_classes` outputs; its weights come from the global generator."""

    @abstractmethod
    def __call__(self, num_classes: int) -> nn.Module: ...

    @abstractmethod
    def published(self, tag: str) -> Published:
        """The published weights `tag` of this architecture ("" for the default); raises `InvalidValue` without any."""


class Weights(Stage):
    """Loads weights into a built network; a head of another size starts at zero."""

    @abstractmethod
    def content(self, arch: Model) -> str:
        """A hash of the weights, for the fingerprint; empty where there are none."""

    @abstractmethod
    def preprocessing(self, arch: Model, default: Preprocessing) -> Preprocessing:
        """How images were resized and normalized for the weights; what nobody says is as in `default`, the data's own."""

    @abstractmethod
    def __call__(self, model: nn.Module, arch: Model) -> nn.Module: ...


@dataclass(frozen=True, kw_only=True)
class FromScratch(Weights):
    """Starts from random weights."""

    def content(self, arch: Model) -> str:
        return ""

    def preprocessing(self, arch: Model, default: Preprocessing) -> Preprocessing:
        return default

    def __call__(self, model: nn.Module, arch: Model) -> nn.Module:
        return model


class Tuning(Stage):
    """Which parts of the network learn, when, and how fast."""

    @abstractmethod
    def groups(self, model: nn.Module, groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Parameter groups, split further where parts learn at their own rate; each carries `lr_scale`."""

    @abstractmethod
    def __call__(self, model: nn.Module, progress: float) -> None:
        """Put every module into train or eval mode, and freeze or free parameters, for training at `progress`."""


@dataclass(frozen=True, kw_only=True)
class TuneAll(Tuning):
    """Trains every parameter from the first step."""

    def groups(self, model: nn.Module, groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**group, "lr_scale": 1.0} for group in groups]

    def __call__(self, model: nn.Module, progress: float) -> None:
        model.train()


class ModelTransform(Stage):
    """Changes a network after its weights are loaded, keeping its state-dict keys where the technique allows."""

    @abstractmethod
    def __call__(self, model: nn.Module) -> nn.Module: ...


@dataclass(frozen=True, kw_only=True)
class KeepModel(ModelTransform):
    """Leaves the network as it is."""

    def __call__(self, model: nn.Module) -> nn.Module:
        return model
