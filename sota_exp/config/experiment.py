"""The typed experiment of one run: a tree of groups and stages, built from the configuration."""

from dataclasses import dataclass

from sota_exp.stages.augmentation import Crop, Sampler, TrainSize
from sota_exp.stages.average import Average
from sota_exp.stages.batch import BatchTransform
from sota_exp.stages.data import DataSource
from sota_exp.stages.evaluation import FineTuning, Metrics, Predictor, Resolution
from sota_exp.stages.loss import Distillation, Loss
from sota_exp.stages.model import InitialWeights, Model, ModelTransform, Tuning
from sota_exp.stages.optimizer import Accumulation, GradientTransform, OptimizerFactory, ParameterGroups
from sota_exp.stages.schedule import LrScaling, LrSchedule, ScheduleStepping, StoppingRule, TrainingLength, Warmup
from sota_exp.stages.stage import require
from sota_exp.stages.supervision import Supervision
from sota_exp.stages.tracking import Tracking


@dataclass(frozen=True, kw_only=True)
class AugmentationStages:
    """Stages that transform images."""

    train_size: TrainSize
    crop: Crop
    flip: BatchTransform
    geometry: BatchTransform
    policy: BatchTransform
    erase: BatchTransform
    mix: BatchTransform
    repeat: Sampler


@dataclass(frozen=True, kw_only=True)
class RegularizationStages:
    """Stages that act on targets, network, gradients and weights."""

    smoothing: BatchTransform
    weight_decay: ParameterGroups
    dropout: ModelTransform
    stochastic_depth: ModelTransform
    norm: ModelTransform
    clip: GradientTransform
    average: Average
    distillation: Distillation


@dataclass(frozen=True, kw_only=True)
class ScheduleStages:
    """Learning rate, length, accumulation and early stopping."""

    lr: LrSchedule
    warmup: Warmup
    lr_scaling: LrScaling
    stepping: ScheduleStepping
    length: TrainingLength
    accumulation: Accumulation
    early_stopping: StoppingRule


@dataclass(frozen=True, kw_only=True)
class ModelStages:
    """Architecture, initial weights, and which part of the network is trained."""

    arch: Model
    weights: InitialWeights
    tuning: Tuning


@dataclass(frozen=True, kw_only=True)
class EvaluationStages:
    """Which epoch's weights are saved and fine-tuned, at which size and from how many views, and what is measured."""

    fine_tune: FineTuning
    resolution: Resolution
    tta: Predictor
    metrics: Metrics
    select: str
    batch_size: int

    def __post_init__(self) -> None:
        require(self.select in ("best", "last"), "select", self.select, "best or last")
        require(self.batch_size >= 1, "batch_size", self.batch_size, "images, at least 1")


@dataclass(frozen=True, kw_only=True)
class RuntimeSettings:
    """Device and speed settings; only `precision` changes what is computed.

    measure: the fields that a short measurement sets before the run; afterwards the list is empty.
    """

    device: str
    precision: str
    channels_last: bool
    compile: bool
    workers: int
    threads: int | None
    measure: list[str]

    def __post_init__(self) -> None:
        measurable = ("channels_last", "precision", "threads", "workers", "compile")
        require(set(self.measure) <= set(measurable), "measure", self.measure, f"a subset of [{', '.join(measurable)}]")
        devices = ("auto", "cpu", "cuda", "mps")
        require(self.device.split(":")[0] in devices, "device", self.device, "auto, cpu, cuda, cuda:N or mps")
        require(self.precision in ("fp32", "bf16"), "precision", self.precision, "fp32 or bf16")
        require(self.workers >= 0, "workers", self.workers, "0 or more processes")
        require(self.threads is None or self.threads >= 1, "threads", self.threads, "null, or 1 or more")


@dataclass(frozen=True, kw_only=True)
class RecipeLengths:
    """The recipe's name, and its lengths in epochs."""

    name: str
    epochs: int
    long_epochs: int


@dataclass(frozen=True, kw_only=True)
class ScaleSettings:
    """How much of the recipe is run: epochs, and images per split (null for all)."""

    name: str
    epochs: int
    long_epochs: int
    train_images: int | None
    eval_images: int | None

    def __post_init__(self) -> None:
        for name, num in (("train_images", self.train_images), ("eval_images", self.eval_images)):
            require(num is None or num >= 2, name, num, "null for all, or at least 2")


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """The experiment of one run. Groups and slots are in the order in which they act."""

    data: DataSource
    model: ModelStages
    augmentation: AugmentationStages
    regularization: RegularizationStages
    schedule: ScheduleStages
    loss: Loss
    optimizer: OptimizerFactory
    supervision: Supervision
    evaluation: EvaluationStages
    runtime: RuntimeSettings
    tracking: Tracking
    recipe: RecipeLengths
    scale: ScaleSettings
    seed: int
    batch_size: int

    def __post_init__(self) -> None:
        require(self.batch_size >= 1, "batch_size", self.batch_size, "images, at least 1")
        require(0 <= self.seed < 2**63, "seed", self.seed, "an integer from 0 to 2⁶³ − 1")
