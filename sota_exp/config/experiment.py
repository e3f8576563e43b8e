"""The typed experiment of one run: a tree of groups and stages, built from the configuration."""

from dataclasses import dataclass
from re import fullmatch
from typing import Annotated

from sota_exp.stages.augmentation import Crop, Sampler, TrainSize
from sota_exp.stages.average import Average
from sota_exp.stages.batch import BatchTransform
from sota_exp.stages.data import DataSource
from sota_exp.stages.evaluation import FineTuning, Metrics, Predictor, Resolution
from sota_exp.stages.loss import Distillation, Loss
from sota_exp.stages.model import InitialWeights, Model, ModelTransform, Tuning
from sota_exp.stages.optimizer import Accumulation, GradientTransform, OptimizerFactory, ParameterGroups
from sota_exp.stages.schedule import LrScaling, LrSchedule, ScheduleStepping, StoppingRule, TrainingLength, Warmup
from sota_exp.stages.stage import Count, Legal, Positive, Settings, Several, added_field, one_of
from sota_exp.stages.supervision import Supervision
from sota_exp.stages.tracking import Tracking

BatchSize = Annotated[int, Legal(lambda value: value >= 1, "images, at least 1")]

#: The fields of `RuntimeSettings` that can be measured.
MEASURABLE = ("channels_last", "precision", "threads", "workers", "compile")


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
class EvaluationStages(Settings):
    """Which epoch's weights are saved and fine-tuned, at which size and from how many views, and what is measured."""

    fine_tune: FineTuning
    resolution: Resolution
    tta: Predictor
    metrics: Metrics
    select: Annotated[str, one_of("best", "last")]
    batch_size: BatchSize


@dataclass(frozen=True, kw_only=True)
class RuntimeSettings(Settings):
    """Device and speed settings; only `precision` changes what is computed.

    precision: fp32; on CUDA too tf32, which multiplies with ten bits; bf16 or fp16 by autocast, fp16 with a scaled
    loss. measure: the fields that a short measurement sets before the run; afterwards the list is empty.
    checkpoint_minutes: longest time between two checkpoints within an epoch. deterministic: only kernels of CUDA that
    repeat to the bit; on a CPU all do. checkpoint_activations: blocks keep their inputs alone and compute the rest
    again.
    """

    device: Annotated[
        str,
        Legal(lambda value: fullmatch(r"auto|cpu|mps|cuda(:\d+)?", value) is not None, "auto, cpu, cuda, cuda:N, mps"),
    ]
    precision: Annotated[str, one_of("fp32", "tf32", "bf16", "fp16")]
    channels_last: bool
    compile: bool
    workers: Annotated[int, Legal(lambda value: value >= 0, "0 or more processes")]
    threads: Count | None
    checkpoint_minutes: Positive = added_field(5.0)
    deterministic: bool = added_field(False)
    checkpoint_activations: bool = added_field(False)
    measure: Annotated[
        list[str], Legal(lambda value: set(value) <= set(MEASURABLE), f"a subset of [{', '.join(MEASURABLE)}]")
    ]


@dataclass(frozen=True, kw_only=True)
class RecipeLengths:
    """The recipe's name, and its lengths in epochs."""

    name: str
    epochs: int
    long_epochs: int


@dataclass(frozen=True, kw_only=True)
class ScaleSettings(Settings):
    """How much of the recipe is run: epochs, and images per split (null for all)."""

    name: str
    epochs: int
    long_epochs: int
    train_images: Several | None
    eval_images: Several | None


@dataclass(frozen=True, kw_only=True)
class Experiment(Settings):
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
    seed: Annotated[int, Legal(lambda value: 0 <= value < 2**63, "an integer from 0 to 2⁶³ − 1")]
    batch_size: BatchSize
