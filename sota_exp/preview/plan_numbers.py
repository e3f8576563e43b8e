"""The numbers of a training before it starts: images, steps, learning rate, network."""

import math
from dataclasses import dataclass

from torch import Tensor

from sota_exp.data.train_loader import count_distinct_images
from sota_exp.models.cost import count_flops, count_parameters
from sota_exp.stages.average import TrainedWeights
from sota_exp.stages.data import DataSet
from sota_exp.stages.evaluation import EvaluationView
from sota_exp.training.loop import TrainingSession, TrainingState, begin_epoch

#: Points of the learning-rate curve.
CURVE_POINTS = 72


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """The plan of a training.

    counts: images per split. unscored: val and test → classes without images there. train_size: side of the training
    crop in pixels.
    batch_images: different training images in the first batch, fewer than batch_size with repeated augmentation.
    distinct_images: different training images in the whole training. left_out: images per epoch that do not fill a
    batch. curve: the learning rate at evenly spaced steps, from the first to the last. trained_parameters: those that
    are not frozen in the first epoch. is_averaged: validation evaluates the trained and the averaged weights.
    """

    counts: dict[str, int]
    num_classes: int
    unscored: dict[str, tuple[str, ...]]
    train_size: int
    views: tuple[EvaluationView, ...]
    batch_images: int
    distinct_images: int
    left_out: int
    num_epochs: int
    steps_per_epoch: int
    warmup_steps: int
    curve: tuple[float, ...]
    parameters: int
    trained_parameters: int
    flops_per_image: int
    is_averaged: bool

    @property
    def total_steps(self) -> int:
        return self.num_epochs * self.steps_per_epoch


def find_absent(data: DataSet, split: Tensor) -> tuple[str, ...]:
    """The classes of which the images with these indices, int64 [N], have none."""
    found = set(data.labels[split].tolist())
    return tuple(name for label, name in enumerate(data.classes) if label not in found)


def plan_training(session: TrainingSession, state: TrainingState) -> TrainingPlan:
    """The plan of a session and its new state."""
    experiment, data = session.experiment, session.data
    steps, batch_size = session.total_steps, experiment.batch_size
    views = tuple(experiment.evaluation.resolution.views())
    begin_epoch(session, state, 0, fresh=False)
    trained = sum(parameter.numel() for parameter in state.model.parameters() if parameter.requires_grad)
    marks = sorted({round(point * (steps - 1) / (CURVE_POINTS - 1)) for point in range(CURVE_POINTS)})
    return TrainingPlan(
        counts=data.count_images(),
        num_classes=len(data.classes),
        unscored={name: find_absent(data, split) for name, split in (("val", data.val), ("test", data.test))},
        train_size=session.crops.size,
        views=views,
        batch_images=len(session.crops.order(0)[:batch_size].unique()),
        distinct_images=count_distinct_images(session.crops, steps),
        left_out=len(data.train) - session.steps_per_epoch * batch_size,
        num_epochs=experiment.schedule.length.epochs,
        steps_per_epoch=session.steps_per_epoch,
        warmup_steps=math.ceil(experiment.schedule.warmup.fraction * steps),
        curve=tuple(session.compute_learning_rate(step) for step in marks),
        parameters=count_parameters(state.model),
        trained_parameters=trained,
        flops_per_image=count_flops(state.model, views[0].size),
        is_averaged=not isinstance(state.average, TrainedWeights),
    )
