"""The training loop: `start_training`, `train_step`, and `fit`, which yields a record after every step and epoch.

for record in fit(session, start_training(session)): ...      # to stop, stop iterating
"""

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from sota_exp.config.experiment import Experiment
from sota_exp.data.train_loader import TrainCrops, load_crops
from sota_exp.models.memory_format import set_memory_format
from sota_exp.models.recompute import keep_norm_statistics, recompute_activations
from sota_exp.models.single_pixel_conv import use_matrix_products
from sota_exp.stages.average import WeightAverage
from sota_exp.stages.batch import Batch
from sota_exp.stages.data import DataSet
from sota_exp.stages.evaluation import EvaluationView
from sota_exp.stages.loss import Loss
from sota_exp.stages.random import RandomStreams
from sota_exp.stages.supervision import EpochLabels
from sota_exp.training.batch_pipeline import BatchPipeline
from sota_exp.training.copy_ahead import copy_ahead
from sota_exp.training.device import copy_to_device
from sota_exp.training.distributed import (
    World,
    average_norm_statistics,
    average_totals,
    has_unused_parameters,
    keep_gradients_apart,
    wrap_in_ddp,
)
from sota_exp.training.evaluator import Evaluator


@dataclass(frozen=True, kw_only=True)
class TrainingSession:
    """Everything that is constant during a training.

    network: builds a new network. compile_network: compiles, or does nothing.
    """

    experiment: Experiment
    data: DataSet
    crops: TrainCrops
    pipeline: BatchPipeline
    evaluator: Evaluator
    loss: Loss
    streams: RandomStreams
    world: World
    device: torch.device
    autocast: Callable[[], AbstractContextManager[None]]
    memory_format: torch.memory_format
    network: Callable[[], nn.Module]
    compile_network: Callable[[nn.Module], nn.Module]
    peak_lr: float

    @property
    def default_view(self) -> EvaluationView:
        """The view of validation."""
        return self.experiment.evaluation.resolution.views()[0]

    @property
    def steps_per_epoch(self) -> int:
        return self.crops.steps_per_epoch

    @property
    def total_steps(self) -> int:
        return self.steps_per_epoch * self.experiment.schedule.length.epochs

    @property
    def last_progress(self) -> float:
        """The progress at which the last epoch begins."""
        return 1 - self.steps_per_epoch / self.total_steps

    def compute_learning_rate(self, step: int) -> float:
        """Learning rate of a step: warm-up, then the schedule over the rest of training."""
        schedule = self.experiment.schedule
        progress = schedule.stepping(step, self.steps_per_epoch, self.total_steps)
        share = schedule.warmup.fraction
        if progress < share:
            return self.peak_lr * schedule.warmup(progress / share)
        return self.peak_lr * schedule.lr((progress - share) / (1 - share))

    def batch(self, crops: Tensor, positions: Tensor, supervised: EpochLabels, epoch: int) -> Batch:
        """One step's batch on the device. crops: uint8 [B, 3, S, S]. positions: int64 [B], of the training images."""
        labels = copy_to_device(supervised.labels[positions], self.device)
        targets = torch.zeros(len(labels), len(self.data.classes), device=self.device)
        return Batch(
            images=crops.to(self.device, non_blocking=True),  # nothing to do where `copy_ahead` did
            targets=targets.scatter_(1, labels[:, None], 1.0),
            weights=copy_to_device(supervised.weights[positions], self.device),
            sources=positions,
            epoch=epoch,
        )


@dataclass(kw_only=True)
class TrainingState:
    """Everything that changes during a training; all of it is in a checkpoint."""

    model: nn.Module
    wrapped_model: nn.Module
    optimizer: torch.optim.Optimizer
    average: WeightAverage
    scaler: torch.amp.GradScaler
    step: int = 0
    epoch_labels: EpochLabels | None = None
    totals: dict[str, Tensor] = field(default_factory=dict)
    seconds: float = 0.0  # spent on the current epoch, over all resumes

    @cached_property
    def parameters(self) -> list[nn.Parameter]:
        """All parameters, frozen ones too. Cached, since listing them takes longer than adding up a loss."""
        return list(self.model.parameters())

    def count(self, values: dict[str, Tensor]) -> None:
        """Add scalar tensors to the totals of the epoch, on the device."""
        for name, value in values.items():
            self.totals[name] = self.totals[name] + value if name in self.totals else value.clone()

    def state_dict(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.state_dict(),
            "scaler": self.scaler.state_dict(),
            "step": self.step,
            "supervised": None if self.epoch_labels is None else vars(self.epoch_labels),
            "totals": self.totals,
            "seconds": self.seconds,
        }

    def own_state_dict(self) -> dict[str, Any]:
        """What differs between the processes of a run: buffers (statistics of norm layers) and totals, on the CPU."""
        return {
            "model": _copy_to_cpu(dict(self.model.named_buffers())),
            "average": _copy_to_cpu(dict(self.average.module.named_buffers())),
            "totals": _copy_to_cpu(self.totals),
        }

    def load_own_state_dict(self, saved: dict[str, Any]) -> None:
        """Load what `own_state_dict` returned in the same process of an earlier start."""
        for module, name in ((self.model, "model"), (self.average.module, "average")):
            for key, buffer in module.named_buffers():
                buffer.copy_(saved[name][key])
        self.totals = saved["totals"]

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.average.load_state_dict(saved["average"])
        self.scaler.load_state_dict(saved.get("scaler", {}))
        self.step, self.totals, self.seconds = saved["step"], saved["totals"], saved.get("seconds", 0.0)
        self.epoch_labels = None if saved["supervised"] is None else EpochLabels(**saved["supervised"])


def _copy_to_cpu(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu() for name, tensor in tensors.items()}


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """One optimizer step is done. It holds no tensor value, so that the device is not waited for."""

    step: int
    epoch: int


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """One epoch is done; `metrics` are means over its steps."""

    step: int
    epoch: int
    seconds: float
    metrics: dict[str, float]


def start_training(session: TrainingSession) -> TrainingState:
    """A new network, optimizer and weight average."""
    experiment = session.experiment
    session.streams.seed_layers("start")
    model = set_memory_format(use_matrix_products(session.network()).to(session.device), session.memory_format)
    if experiment.runtime.checkpoint_activations:
        recompute_activations(model)
    groups = experiment.regularization.weight_decay(model, experiment.optimizer.weight_decay)
    optimizer = experiment.optimizer(experiment.model.tuning.groups(model, groups))
    schedule = experiment.schedule
    average = experiment.regularization.average(
        model, session.total_steps, schedule.warmup.fraction, schedule.length.epochs
    )
    unused = session.world.size > 1 and (
        experiment.model.tuning.freezes or has_unused_parameters(model, session.crops.size)
    )
    wrapped = session.compile_network(wrap_in_ddp(model, session.world, session.device, unused))
    # Gradients of fp16 are too small for it unless the loss is scaled; for all else this does nothing.
    scaler = torch.amp.GradScaler(session.device.type, enabled=experiment.runtime.precision == "fp16")
    return TrainingState(model=model, wrapped_model=wrapped, optimizer=optimizer, average=average, scaler=scaler)


def train_step(session: TrainingSession, state: TrainingState, batch: Batch) -> None:
    """One optimizer step: learning rate, augmentation, forward and backward per micro-batch, clip, step, average."""
    progress = state.step / session.total_steps
    lr = session.compute_learning_rate(state.step)
    for group in state.optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]
    session.streams.seed_layers(state.step)
    batch = session.pipeline(batch, state.step, progress)
    micros = list(session.experiment.schedule.accumulation(batch))
    recomputes = session.experiment.runtime.checkpoint_activations
    for micro in micros:
        with keep_gradients_apart(state.wrapped_model, session.world, micro is not micros[-1]):
            with session.autocast():
                logits = state.wrapped_model(micro.images.contiguous(memory_format=session.memory_format))
            loss = (session.loss(logits.float(), micro) * micro.weights).sum() / len(batch)
            with keep_norm_statistics(state.model) if recomputes else nullcontext():
                state.scaler.scale(loss).backward()
        state.count({"train/loss": loss.detach()})
    state.scaler.unscale_(state.optimizer)
    state.count(without_overflows(session.experiment.regularization.clip(state.parameters), state.scaler))
    state.scaler.step(state.optimizer)
    state.scaler.update()
    state.optimizer.zero_grad(set_to_none=True)
    state.step += 1
    state.average.update(state.step / session.total_steps)


def without_overflows(values: dict[str, Tensor], scaler: torch.amp.GradScaler) -> dict[str, Tensor]:
    """Values of gradients by name, float [] each; 0 where gradients overflowed.

    An fp16 scaler skips such a step and tries a smaller scale, so it is no divergence.
    """
    if not scaler.is_enabled():
        return values
    return {name: value.nan_to_num(nan=0.0, posinf=0.0) for name, value in values.items()}


def fit(session: TrainingSession, state: TrainingState) -> Generator[StepRecord | EpochRecord, None, None]:
    """Train from `state.step` to the end; yields a `StepRecord` per step and an `EpochRecord` per epoch."""
    steps, num_workers = range(state.step, session.total_steps), session.experiment.runtime.workers
    with closing(load_crops(session.crops, steps, num_workers, session.device.type == "cuda")) as loader:
        yield from _fit(session, state, copy_ahead(loader, session.device))


def _fit(
    session: TrainingSession, state: TrainingState, loader: Iterable[tuple[Tensor, Tensor]]
) -> Iterator[StepRecord | EpochRecord]:
    """`fit` on the crops of its steps, uint8 [b, 3, S, S] and on the device, and positions, int64 [b]."""
    began, entered = time.monotonic() - state.seconds, True
    for crops, positions in loader:
        epoch, place = divmod(state.step, session.steps_per_epoch)
        if place == 0 or entered:
            begin_epoch(session, state, epoch, fresh=place == 0)
            entered = False
        assert state.epoch_labels is not None
        train_step(session, state, session.batch(crops, positions, state.epoch_labels, epoch))
        state.seconds = time.monotonic() - began
        yield StepRecord(step=state.step, epoch=epoch)
        if place + 1 == session.steps_per_epoch:
            lr = session.compute_learning_rate(state.step - 1)
            totals = average_totals(state.totals, session.world)
            means = {name: total / session.steps_per_epoch for name, total in totals.items()}
            state.totals = {}
            average_norm_statistics(state.model, session.world)
            seconds, state.seconds = time.monotonic() - began, 0.0
            metrics = {**means, **state.epoch_labels.metrics, "train/lr": lr}
            yield EpochRecord(step=state.step, epoch=epoch, seconds=seconds, metrics=metrics)
            began = time.monotonic()


def begin_epoch(session: TrainingSession, state: TrainingState, epoch: int, fresh: bool) -> None:
    """Set which parameters are trained and, if the epoch is `fresh`, the labels and weights of its images."""
    progress = epoch * session.steps_per_epoch / session.total_steps
    if fresh:
        labels, num_classes = session.evaluator.labels("train"), len(session.data.classes)
        state.epoch_labels = session.experiment.supervision(
            labels,
            num_classes,
            progress,
            lambda: session.evaluator.features(state.average.module, "train", session.default_view),
            session.streams,
        )
    session.experiment.model.tuning(state.model, progress)
