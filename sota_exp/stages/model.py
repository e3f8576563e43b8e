"""Architectures, their initial weights, which parts are trained, and changes of a built network."""

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Tensor, nn

from sota_exp.stages.data import Preprocessing
from sota_exp.stages.stage import Stage


@dataclass(frozen=True, kw_only=True)
class PublishedWeights:
    """Trained weights: a state dict, the preprocessing they were trained with, and a hash of the content.

    evaluated_at: image sizes of the published accuracy, as text; empty if unknown.
    description: the `model.json` of the run that trained them; empty for weights of other origin.
    """

    state: dict[str, Tensor]
    preprocessing: Preprocessing
    content_hash: str
    evaluated_at: str = ""
    description: dict[str, Any] = field(default_factory=dict)


class Model(Stage):
    @abstractmethod
    def __call__(self, num_classes: int) -> nn.Module:
        """An untrained network, float [B, 3, H, W] → logits [B, num_classes], initialized by the global generator."""

    def require_available(self) -> None:
        """Check that this process has the code of the network, or raise a `ConfigError`."""

    @abstractmethod
    def load_published(self, tag: str) -> PublishedWeights:
        """The published weights `tag` of this architecture, "" for the default ones, or an `InvalidValue`."""

    def find_preprocessing(self, tag: str) -> Preprocessing:
        """The preprocessing of these weights, which are not fetched for it where their library has it without them."""
        return self.load_published(tag).preprocessing


class InitialWeights(Stage):
    """The initial weights of a network."""

    @abstractmethod
    def content_hash(self, arch: Model) -> str:
        """A hash of the weights, for the fingerprint; empty for random weights."""

    @abstractmethod
    def preprocessing(self, arch: Model, default: Preprocessing) -> Preprocessing:
        """The preprocessing the weights were trained with; unknown fields are taken from `default`, the data set's."""

    @abstractmethod
    def __call__(self, model: nn.Module, arch: Model) -> nn.Module:
        """Load the weights into `model`, [B, 3, H, W] → [B, C]; a classifier of another size is initialized to zero."""


@dataclass(frozen=True, kw_only=True)
class FromScratch(InitialWeights):
    def content_hash(self, arch: Model) -> str:
        return ""

    def preprocessing(self, arch: Model, default: Preprocessing) -> Preprocessing:
        return default

    def __call__(self, model: nn.Module, arch: Model) -> nn.Module:
        return model


class Tuning(Stage):
    """Which parameters are trained, when, and at which learning rate."""

    #: Whether some parameters are frozen at times: then several processes look for those without a gradient each step.
    freezes: ClassVar[bool] = True

    @abstractmethod
    def groups(self, model: nn.Module, groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Optimizer groups, split further where parts have their own learning rate: `lr_scale` times the common one."""

    @abstractmethod
    def __call__(self, model: nn.Module, progress: float) -> None:
        """Set every module's mode (train or eval) and `requires_grad`; `progress` of training is in [0, 1)."""


@dataclass(frozen=True, kw_only=True)
class TuneAll(Tuning):
    freezes: ClassVar[bool] = False

    def groups(self, model: nn.Module, groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**group, "lr_scale": 1.0} for group in groups]

    def __call__(self, model: nn.Module, progress: float) -> None:
        model.train()


class ModelTransform(Stage):
    """Changes a network after its weights are loaded."""

    @abstractmethod
    def __call__(self, model: nn.Module) -> nn.Module:
        """Network, [B, 3, H, W] → [B, C], to one of the same shapes, and of the same state-dict keys where possible."""


@dataclass(frozen=True, kw_only=True)
class KeepModel(ModelTransform):
    def __call__(self, model: nn.Module) -> nn.Module:
        return model
