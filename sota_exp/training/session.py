"""Builds the session of a training from its configuration and data."""

import contextlib
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import cast

import torch
from torch import nn

from sota_exp.config.build import prefix_invalid_values
from sota_exp.config.experiment import Experiment, RuntimeSettings
from sota_exp.data.train_loader import TrainCrops
from sota_exp.errors import ConfigError
from sota_exp.models.build import build_network, get_preprocessing
from sota_exp.stages.data import DataSet, Preprocessing
from sota_exp.stages.evaluation import Predictor
from sota_exp.stages.random import RandomStreams
from sota_exp.training.batch_pipeline import build_batch_pipeline
from sota_exp.training.distributed import World
from sota_exp.training.evaluator import Evaluator
from sota_exp.training.loop import TrainingSession

log = logging.getLogger(__name__)

#: The numbers of `runtime.precision` in which autocast computes.
HALF_PRECISION = {"bf16": torch.bfloat16, "fp16": torch.float16}


def make_autocast(runtime: RuntimeSettings, device: torch.device) -> Callable[[], AbstractContextManager[None]]:
    """A function that makes the context of a forward pass: autocast to bf16 or fp16, or nothing."""
    if (dtype := HALF_PRECISION.get(runtime.precision)) is None:
        return contextlib.nullcontext
    return lambda: torch.autocast(device.type, dtype=dtype)


def fit_batch_size(experiment: Experiment, data: DataSet, world: World) -> Experiment:
    """The experiment with a batch of at most the number of training images; a smaller one is logged.

    Raises:
        ConfigError: the batch is not divisible by the number of processes, or there are more of these than images.
    """
    asked, num = experiment.batch_size, len(data.train)
    if asked > num >= world.size:
        fitted = find_fitting_batch_size(data, world.size)
        log.warning("batch_size=%d becomes %d: the training set has %d images", asked, fitted, num)
        return replace(experiment, batch_size=fitted)
    if asked % world.size or asked > num:
        legal = f"a multiple of {world.size}" if num >= world.size else f"at most {num} processes, one per image"
        raise ConfigError(f"batch_size={asked} is not divisible by the {world.size} processes; legal: {legal}")
    return experiment


def find_fitting_batch_size(data: DataSet, num_processes: int = 1) -> int:
    """The largest power of two per process that the training images fill, in images of all processes; at least one."""
    return num_processes << max((len(data.train) // num_processes).bit_length() - 1, 0)


def build_train_crops(experiment: Experiment, data: DataSet, interpolation: str, streams: RandomStreams) -> TrainCrops:
    """The training crops in the order of training. interpolation: of the resize."""
    augmentation, length = experiment.augmentation, experiment.schedule.length
    sampler = experiment.supervision.sampler(
        augmentation.repeat, data.labels[data.train], length.epochs, experiment.batch_size
    )
    crops = TrainCrops(
        images=data.images,
        train=data.train,
        sampler=sampler,
        crop=augmentation.crop,
        size=augmentation.train_size(experiment.data.image_size),
        interpolation=interpolation,
        batch_size=experiment.batch_size,
        streams=streams,
    )
    with prefix_invalid_values("supervision"):
        crops.order(0)  # Reads a file of positions here, so that errors in it end the run before training.
    return crops


def build_evaluator(
    experiment: Experiment,
    data: DataSet,
    preprocessing: Preprocessing,
    predictor: Predictor,
    world: World,
    device: torch.device,
) -> Evaluator:
    """The evaluator of an experiment, with its runtime settings."""
    return Evaluator(
        data=data,
        predictor=predictor,
        preprocessing=preprocessing,
        batch_size=experiment.evaluation.batch_size,
        device=device,
        world=world,
        autocast=make_autocast(experiment.runtime, device),
        memory_format=torch.channels_last if experiment.runtime.channels_last else torch.contiguous_format,
        metrics=experiment.evaluation.metrics,
    )


def open_session(experiment: Experiment, data: DataSet, world: World, device: torch.device) -> TrainingSession:
    """Everything that is constant during the run, with a batch that the training set fills."""
    experiment = fit_batch_size(experiment, data, world)
    streams = RandomStreams(seed=experiment.seed, rank=world.rank, world_size=world.size)
    preprocessing, num_classes = get_preprocessing(experiment, data), len(data.classes)
    evaluator = build_evaluator(experiment, data, preprocessing, experiment.evaluation.tta, world, device)
    return TrainingSession(
        experiment=experiment,
        data=data,
        crops=build_train_crops(experiment, data, preprocessing.interpolation, streams),
        pipeline=build_batch_pipeline(experiment, preprocessing, streams, data.classes, device),
        evaluator=evaluator,
        loss=experiment.regularization.distillation.wrap(experiment.loss),
        streams=streams,
        world=world,
        device=device,
        autocast=evaluator.autocast,
        memory_format=evaluator.memory_format,
        network=lambda: build_network(experiment, num_classes),
        compile_network=_compile if experiment.runtime.compile else lambda model: model,
        peak_lr=experiment.optimizer.lr * experiment.schedule.lr_scaling(experiment.batch_size),
    )


def _compile(model: nn.Module) -> nn.Module:
    import torch._dynamo.config as dynamo  # slow to import (one second)

    # Without this, a network with hooks would run the code compiled for an earlier network without hooks.
    dynamo.skip_nnmodule_hook_guards = False
    # Each value of a rate is compiled on its own; after eight of them PyTorch would warn and continue uncompiled.
    dynamo.recompile_limit, dynamo.accumulated_recompile_limit = 1024, 8192
    # Dropout and stochastic depth draw the same random numbers as without compiling.
    return cast(nn.Module, torch.compile(model, options={"fallback_random": True}))
