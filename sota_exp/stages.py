"""The kinds of thing a training run is made of: one abstract class and one call signature each, beside its neutral option.

A stage is a frozen, keyword-only dataclass whose fields are its configuration. Off is an object, not a branch: the neutral
options (`Keep…`, `No…`) do nothing and cost nothing. Technique modules import this module, `torch` and nothing else of ours.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sota_exp.errors import ConfigError
from sota_exp.streams import Draws, Streams


class InvalidValue(ConfigError, ValueError):
    """A field whose value is not legal: names the field, the value and what is legal."""

    def __init__(self, name: str, value: object, legal: str) -> None:
        super().__init__(f"{name}={value} is not legal: {legal}")
        self.name, self.value, self.legal = name, value, legal


def require(ok: bool, name: str, value: object, legal: str) -> None:
    """Raise `InvalidValue` unless `ok`; called from `__post_init__`."""
    if not ok:
        raise InvalidValue(name, value, legal)


def added(inert: Any) -> Any:
    """A field that an option got after its first release: with the value `inert` it does what it did without the field.

    So files without it are still read, and a run with this value is the run that it was before: its fingerprint is the same.
    """
    return field(metadata={"inert": inert})


class Stage(ABC):
    """Anything a slot can hold. Subclasses are frozen, keyword-only dataclasses: their own schema."""


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


# ------------------------------------------------------------------------------------------------------------------ data


#: How images can be resized.
INTERPOLATIONS = ("bilinear", "bicubic")


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How images become what a network reads: resized by `interpolation`, scaled to [0, 1], then (x − mean) / std by channel."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str = "bilinear"


class Images(ABC):
    """Any-size images by index, as the image store holds them."""

    #: (height, width), where all images are known to share them.
    shape: tuple[int, int] | None = None

    @abstractmethod
    def __len__(self) -> int: ...

    def stacked(self, indices: Tensor) -> Tensor:
        """A copy of the images at int64 `indices` [B], which share their shape: uint8 [B, H, W, 3]."""
        return torch.stack([self.image(index).permute(1, 2, 0) for index in indices.tolist()])

    @abstractmethod
    def size(self, index: int) -> tuple[int, int]:
        """Height and width in pixels."""

    @abstractmethod
    def image(self, index: int) -> Tensor:
        """Uint8 [3, H, W] in channels-last strides."""

    def sizes(self, indices: Tensor) -> Tensor:
        """Height and width in pixels of the images at int64 `indices` [B], int64 [B, 2]."""
        return torch.tensor([self.size(index) for index in indices.tolist()])

    def boxes(self, indices: Tensor, boxes: Tensor) -> list[Tensor]:
        """A view [1, 3, h, w] of the part of each image that its box names, int64 [B, 4]: top, left, height, width."""
        return [cut(self.image(index), *box) for index, box in zip(indices.tolist(), boxes.tolist(), strict=True)]


def cut(image: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    """A view of a box inside an image [3, H, W], as a batch of one: [1, 3, height, width]."""
    assert top + height <= image.shape[1] and left + width <= image.shape[2]
    channel, row, column = image.stride()
    # A batch of one sliced out of an image has ambiguous strides, which cost the kernel a repacking; these are channels last.
    strides = (image.shape[1] * row, channel, row, column)
    return image.as_strided((1, 3, height, width), strides, image.storage_offset() + top * row + left * column)


class Reducible(Images):
    """Images that cost less to make at a fraction of their size: what streams from files."""

    @abstractmethod
    def step_of(self, index: int, factor: float) -> int:
        """The factor in whole steps: factors of one step give the same `reduced` image."""

    @abstractmethod
    def reduced(self, index: int, factor: float) -> Tensor:
        """Uint8 [3, h, w], the whole image at some size from 1/`factor` of its own up to its own."""


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """Images, their labels, and which of them train, validate and test (int64 indices, ascending, disjoint)."""

    images: Images
    labels: Tensor
    train: Tensor
    val: Tensor
    test: Tensor
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    digest: str


@dataclass(frozen=True, kw_only=True)
class Source(Stage):
    """Where images come from. Called, it makes or opens the store and returns the set with its splits.

    image_size: side in pixels at which the set is evaluated, and trained unless `augmentation/train_size` says otherwise.
    crop_ratio: evaluation resizes the shorter side to image_size / crop_ratio, then cuts the centre.
    interpolation: how images are resized, `bilinear` or `bicubic`; None: as for the weights that training starts from, else bilinear.
    label_preserving: which of `horizontal_flip` and `large_rotation` leave a label true.
    val_fraction, test_fraction: what is cut from train, stratified by class, where the set has no such part of its own;
    None: nothing, and one part serves as both. What chooses on val then also reports on it.
    """

    name: str
    image_size: int
    crop_ratio: float
    interpolation: str | None
    label_preserving: list[str]
    cache: str
    val_fraction: float | None
    test_fraction: float | None
    split_seed: int

    def __post_init__(self) -> None:
        known = {"horizontal_flip", "large_rotation"}
        require(self.image_size >= 8, "image_size", self.image_size, "pixels, at least 8")
        require(0.1 <= self.crop_ratio <= 1, "crop_ratio", self.crop_ratio, "a fraction in [0.1, 1]")
        resizing = self.interpolation
        require(
            resizing in (None, *INTERPOLATIONS),
            "interpolation",
            resizing,
            f"one of {', '.join(INTERPOLATIONS)}, or null",
        )
        require(
            set(self.label_preserving) <= known, "label_preserving", self.label_preserving, f"a part of {sorted(known)}"
        )
        for name, share in (("val_fraction", self.val_fraction), ("test_fraction", self.test_fraction)):
            require(share is None or 0 < share < 0.5, name, share, "a fraction in (0, 0.5), or null")

    @abstractmethod
    def __call__(self) -> DataSet: ...

    def files(self) -> list[str]:
        """Where each image of the set was read from; empty where images have no files of their own."""
        return []


# ---------------------------------------------------------------------------------------------------------- augmentation


class TrainSize(Stage):
    """The side of a training crop, from the side used in evaluation."""

    @abstractmethod
    def __call__(self, image_size: int) -> int: ...


class Crop(Stage):
    """Cuts training images out of the store: uint8 [B, 3, S, S], resized by `interpolation`, antialiased."""

    @abstractmethod
    def __call__(
        self, images: Images, indices: Tensor, size: int, rng: Draws, interpolation: str = "bilinear"
    ) -> Tensor: ...

    @abstractmethod
    def magnification(self, sizes: Tensor, size: int, rng: Draws) -> Tensor:
        """Side of an object in a crop over its side in the image, geometric mean of both axes: float64 [B].

        sizes: int64 [B, 2], height and width of the images; the same `rng` gives the crops that a call would cut.
        """


class BatchTransform(Stage):
    """Changes a batch on the device, with parameters drawn per sample from `rng`."""

    @abstractmethod
    def __call__(self, batch: Batch, progress: float, rng: Draws) -> Batch: ...


@dataclass(frozen=True, kw_only=True)
class NativeSize(TrainSize):
    """Trains at the size of evaluation."""

    def __call__(self, image_size: int) -> int:
        return image_size


@dataclass(frozen=True, kw_only=True)
class KeepBatch(BatchTransform):
    """Leaves the batch as it is."""

    def __call__(self, batch: Batch, progress: float, rng: Draws) -> Batch:
        return batch


class Sampler(Stage):
    """The order of an epoch: int64 indices into `num_samples` training images, equal on every rank."""

    @abstractmethod
    def __call__(self, num_samples: int, epoch: int, streams: Streams) -> Tensor: ...


@dataclass(frozen=True, kw_only=True)
class Shuffle(Sampler):
    """Every training image once an epoch, in a new order."""

    def __call__(self, num_samples: int, epoch: int, streams: Streams) -> Tensor:
        return torch.randperm(num_samples, generator=streams.generator("order", epoch))


# ----------------------------------------------------------------------------------------------------------------- model


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


# -------------------------------------------------------------------------------------------------------------- the step


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


class Accumulation(Stage):
    """Splits the batch of one optimizer step into the micro-batches that are run one after the other."""

    @abstractmethod
    def __call__(self, batch: Batch) -> Iterator[Batch]: ...


@dataclass(frozen=True, kw_only=True)
class OneBatch(Accumulation):
    """Runs the whole batch at once."""

    def __call__(self, batch: Batch) -> Iterator[Batch]:
        yield batch


class ParameterGroups(Stage):
    """Splits the parameters into optimizer groups: every trainable parameter in exactly one, each with its decay."""

    @abstractmethod
    def __call__(self, model: nn.Module, weight_decay: float) -> list[dict[str, Any]]: ...


@dataclass(frozen=True, kw_only=True)
class NoDecay(ParameterGroups):
    """Decays nothing, whatever `optimizer.weight_decay` says."""

    def __call__(self, model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
        return [{"params": [p for p in model.parameters() if p.requires_grad], "weight_decay": 0.0}]


@dataclass(frozen=True, kw_only=True)
class OptimizerFactory(Stage):
    """Parameter groups → an optimizer whose learning rate, `lr` at its peak, the schedule then multiplies.

    weight_decay: the coefficient; which parameters it touches is `regularization/weight_decay`'s business.
    """

    lr: float
    weight_decay: float

    def __post_init__(self) -> None:
        require(self.lr > 0, "lr", self.lr, "a number above 0")
        require(self.weight_decay >= 0, "weight_decay", self.weight_decay, "a number of at least 0")

    @abstractmethod
    def __call__(self, groups: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer: ...


class GradientTransform(Stage):
    """Changes the gradients in place before the optimizer's step; returns scalars to average over the epoch."""

    @abstractmethod
    def __call__(self, parameters: Sequence[nn.Parameter]) -> dict[str, Tensor]: ...


@dataclass(frozen=True, kw_only=True)
class KeepGradients(GradientTransform):
    """Leaves the gradients as they are."""

    def __call__(self, parameters: Sequence[nn.Parameter]) -> dict[str, Tensor]:
        return {}


# -------------------------------------------------------------------------------------------------------------- schedule


class Schedule(Stage):
    """Progress in [0, 1] → a multiplier of the peak learning rate."""

    @abstractmethod
    def __call__(self, progress: float) -> float: ...


class Warmup(Stage):
    """The start of the schedule: `fraction` of training during which the multiplier comes from here."""

    @property
    @abstractmethod
    def share(self) -> float:
        """The fraction of training that is warm-up, in [0, 1)."""

    @abstractmethod
    def __call__(self, progress: float) -> float:
        """Multiplier at `progress` in [0, 1) of the warm-up itself."""


@dataclass(frozen=True, kw_only=True)
class NoWarmup(Warmup):
    """Starts at the full learning rate."""

    @property
    def share(self) -> float:
        return 0.0

    def __call__(self, progress: float) -> float:
        return 1.0


class LrScaling(Stage):
    """Effective batch size → factor of the learning rate."""

    @abstractmethod
    def __call__(self, batch_size: int) -> float: ...


@dataclass(frozen=True, kw_only=True)
class KeepLr(LrScaling):
    """Uses `optimizer.lr` as it is, at any batch size."""

    def __call__(self, batch_size: int) -> float:
        return 1.0


class Stepping(Stage):
    """How often the schedule moves: (step, steps per epoch, steps in all) → the progress it sees."""

    @abstractmethod
    def __call__(self, step: int, steps_per_epoch: int, total_steps: int) -> float: ...


@dataclass(frozen=True, kw_only=True)
class Length(Stage):
    """How long training lasts: `epochs` passes over the training set."""

    epochs: int

    def __post_init__(self) -> None:
        require(self.epochs >= 1, "epochs", self.epochs, "a count of at least 1")


class StoppingRule(Stage):
    """The validation accuracies so far of the weights that ship → whether to stop."""

    @abstractmethod
    def __call__(self, history: Sequence[float]) -> bool: ...


@dataclass(frozen=True, kw_only=True)
class NeverStop(StoppingRule):
    """Trains to the planned end."""

    def __call__(self, history: Sequence[float]) -> bool:
        return False


# --------------------------------------------------------------------------------------------------------------- average


class WeightAverage(ABC):
    """A running average of a network's weights, held apart: the trained weights are never swapped."""

    module: nn.Module

    @abstractmethod
    def update(self, progress: float) -> None:
        """Take in the weights after an optimizer step; `progress` is the share of training done."""

    @abstractmethod
    def finish(self, batches: Iterable[Tensor]) -> None:
        """Make `module` ready for evaluation, from training images where its norm statistics need them."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]: ...

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Average(Stage):
    """Starts averaging a network's weights; `num_steps` optimizer steps lie ahead in `num_epochs` equal epochs, `warmup` of
    them (a share) warm-up."""

    @abstractmethod
    def __call__(self, model: nn.Module, num_steps: int, warmup: float, num_epochs: int = 1) -> WeightAverage: ...


class RawWeights(WeightAverage):
    """No average: `module` is the trained network itself."""

    def __init__(self, model: nn.Module) -> None:
        self.module = model

    def update(self, progress: float) -> None:
        pass

    def finish(self, batches: Iterable[Tensor]) -> None:
        pass

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


@dataclass(frozen=True, kw_only=True)
class NoAverage(Average):
    """Ships the trained weights themselves."""

    def __call__(self, model: nn.Module, num_steps: int, warmup: float, num_epochs: int = 1) -> WeightAverage:
        return RawWeights(model)


# ------------------------------------------------------------------------------------------- evaluation and supervision


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


class Follower(ABC):
    """Whoever shows a run elsewhere while its directory is written."""

    @abstractmethod
    def finish(self) -> str:
        """The run has ended and its files are complete: show the rest, without waiting long; what to tell a person, or ""."""


@dataclass(frozen=True, kw_only=True)
class Tracking(Stage):
    """Where runs are shown beside their files.

    figures: draw the pictures of a run into its directory when it has ended.
    """

    figures: bool

    @property
    @abstractmethod
    def label(self) -> str:
        """Where to look, in words."""

    @abstractmethod
    def follow(self, directory: Path) -> Follower:
        """Begin to show what a run writes into `directory`; returns at once and never raises."""


@dataclass(frozen=True, kw_only=True)
class NoFollower(Follower):
    """Shows nothing."""

    def finish(self) -> str:
        return ""


@dataclass(frozen=True, kw_only=True)
class NoTracking(Tracking):
    """Keeps runs in files only."""

    @property
    def label(self) -> str:
        return "files only"

    def follow(self, directory: Path) -> Follower:
        return NoFollower()
