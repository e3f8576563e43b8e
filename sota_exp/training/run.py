"""One run in its directory: read what is there, train what is missing, score, write the result."""

import hashlib
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from typing import Any

import torch

from sota_exp.config.build import prefix_invalid_values
from sota_exp.config.experiment import Experiment
from sota_exp.config.fingerprint import compute_run_fingerprint, compute_training_fingerprint
from sota_exp.config.hashing import compute_digest
from sota_exp.config.rules import check_rules
from sota_exp.config.split_of_seed import takes_every_fold
from sota_exp.data.open import open_data
from sota_exp.data.row_groups import ORDER_OF_BLOCKS
from sota_exp.data.split.folds import hash_groups
from sota_exp.data.train_loader import count_distinct_images
from sota_exp.errors import (
    ConfigError,
    Interrupted,
    RunFailed,
    convert_errors,
    error_to_failure,
    first_line,
)
from sota_exp.models.cost import count_flops, count_parameters
from sota_exp.runs.files import RunFiles
from sota_exp.runs.lock import lock_directory
from sota_exp.runs.result_json import build_empty_result
from sota_exp.runs.start_json import build_data_facts, write_start
from sota_exp.stages.data import DataSet
from sota_exp.training.device import get_cuda_versions, get_device_name, hand_back_gpu, set_up_process
from sota_exp.training.disk_space import estimate_written_bytes, warn_of_full_disk
from sota_exp.training.distributed import World, compute_on_main
from sota_exp.training.existing_run import read_existing
from sota_exp.training.finish import write_and_score
from sota_exp.training.gpu_lease import lease_gpu
from sota_exp.training.input_sizes import start_checked_training
from sota_exp.training.listener import Listener, Pruner, RunRequest
from sota_exp.training.loop import TrainingSession
from sota_exp.training.members import naming_lost_processes, open_together, require_same_inputs
from sota_exp.training.memory import get_peak_memory, reset_peak_memory
from sota_exp.training.resume import resume
from sota_exp.training.session import fit_batch_size, open_session
from sota_exp.training.signals import recorded_signals
from sota_exp.training.trained_on import warn_of_shared_images, write_trained_on
from sota_exp.training.trainer import RunTrainer


def run(request: RunRequest, listener: Listener, pruner: Pruner | None = None) -> dict[str, Any]:
    """Train and score what is missing in the directory of the request; returns the content of `result.json`.

    Raises:
        ConfigError: the configuration does not fit the data or the machine, or the directory holds another run or is
            in use.
        RunFailed: training diverged, memory or disk was full, or files were unreadable.
        Interrupted: a signal was received.
    """
    try:
        world, device = set_up_process(request.experiment)
        with lock_directory(request.directory) if world.is_main else nullcontext():
            return _run(request, listener, pruner or Pruner(), world, device)
    finally:
        hand_back_gpu()


@naming_lost_processes()
def _run(request: RunRequest, listener: Listener, pruner: Pruner, world: World, device: torch.device) -> dict[str, Any]:
    experiment = request.experiment
    if takes_every_fold(request.configuration.values):
        raise ConfigError("data.split.fold=null: a run trains one fold; sota-exp train goes through all of them")
    began = time.monotonic()
    with convert_errors():
        content = hash_input_files(experiment)
        data = open_together(lambda: open_data(experiment))
    data_seconds = time.monotonic() - began
    request = fit_request(request, data, world)
    experiment = request.experiment
    prints = compute_fingerprints(request, data, content)
    require_same_inputs(prints)
    complete, checkpoint = compute_on_main(lambda: read_existing(request, data, prints), world)
    if complete is not None:
        return complete
    experiment.model.arch.require_available()
    session = open_session(experiment, data, world, device)
    if world.is_main:
        warn_of_shared_images(data)
    result = build_empty_result(experiment.seed, request.configuration.choices, prints)
    result["device"] = get_device_name(device)
    result["versions"] = result["versions"] | get_cuda_versions(device)
    result["seconds"] = {"data": data_seconds}
    try:
        return train_and_score(request, session, checkpoint, result, listener, pruner)
    except Exception as error:
        failure = error_to_failure(error)
        result["status"] = "interrupted" if isinstance(failure, Interrupted) else "failed"
        result["reason"] = str(failure or f"{type(error).__name__}: {first_line(error)}")
        # Where the disk is full, or the directory or a store is gone, the first error counts.
        with suppress(ConfigError, RunFailed, OSError):
            _write_failure(request, data, result, world, listener)
        if failure is None:
            raise
        raise failure from error


def _write_failure(
    request: RunRequest, data: DataSet, result: dict[str, Any], world: World, listener: Listener
) -> None:
    never_started = result["start"] is None
    if never_started and world.is_main:
        begin_files(request, data, result)
    _write_result(RunFiles(directory=request.directory), result, world)
    if never_started:
        listener.on_failed_start(request)
    listener.on_end(result)


def begin_files(request: RunRequest, data: DataSet, result: dict[str, Any]) -> None:
    """Write the files of a run that begins; the configuration, which makes the directory that of a run, is the last."""
    files, values = RunFiles(directory=request.directory), request.configuration.values
    write_trained_on(files, data, values)
    result["start"] = write_start(files.directory, result, build_data_facts(values, data))
    files.write_hydra_files(request.hydra_files)
    files.write_config(values)


def fit_request(request: RunRequest, data: DataSet, world: World) -> RunRequest:
    """The request with a batch that the training set fills, so that the files of the run say what was trained.

    Raises:
        ConfigError: a rule forbids the smaller batch.
    """
    batch_size = fit_batch_size(request.experiment, data, world).batch_size
    if batch_size == request.experiment.batch_size:
        return request
    configuration = request.configuration.with_values(batch_size=batch_size)
    check_rules(configuration)
    return replace(request, configuration=configuration)


@naming_lost_processes()
def train_and_score(
    request: RunRequest,
    session: TrainingSession,
    checkpoint: dict[str, Any] | None,
    result: dict[str, Any],
    listener: Listener,
    pruner: Pruner,
) -> dict[str, Any]:
    """Train from a checkpoint, or from the beginning, to a written result."""
    reset_peak_memory(session.device)
    files, state = RunFiles(directory=request.directory), start_checked_training(session)
    fingerprint = result["training_fingerprint"]
    training = RunTrainer(session=session, state=state, files=files, training_fingerprint=fingerprint)
    training.epochs, training.best, training.num_resumes, training.unclosed = resume(checkpoint, state, session.world)
    result |= {"resumed": training.num_resumes, "parameters": count_parameters(state.model)}
    with recorded_signals() as training.signals:
        if session.world.is_main:
            warn_of_full_disk(request.directory, estimate_written_bytes(session, state))
            if checkpoint is not None:
                files.write_metrics(training.epochs)
            begin_files(request, session.data, result)
        listener.on_start(request, session, state)
        result["reason"] = training.go(listener, pruner)
        if training.pruning_reason is None:
            began = time.monotonic()
            write_and_score(request, training, result)
            result["seconds"]["evaluate"] = time.monotonic() - began
            training.stop_if_signalled(is_last=True)
        else:
            fill_pruned_result(training, result)
    fill_cost(training, result)
    _write_result(files, result, session.world)
    listener.on_end(result)
    return result


def fill_pruned_result(training: RunTrainer, result: dict[str, Any]) -> None:
    """Fill the result of a pruned run: its scores on val at the best epoch. Test is not scored."""
    best = training.epochs[training.best_epoch - 1]
    metrics = {name: value for name, value in best.items() if name.startswith("val/")}
    result["metrics"] = metrics | {"best/epoch": training.best_epoch, "train/loss": best["train/loss"]}
    result["evaluated_images"] = {"val": len(training.session.data.val)}
    result["flops_per_image"] = count_flops(training.state.model, training.session.default_view.size)


def fill_cost(training: RunTrainer, result: dict[str, Any]) -> None:
    """Write the cost of the training into `result`: steps, images, seconds, memory."""
    session, steps = training.session, training.state.step
    result["seconds"]["train"] = sum(epoch["seconds"] for epoch in training.epochs)
    result["seconds"]["validate"] = sum(epoch["validate_seconds"] for epoch in training.epochs)
    early = "pruned" if training.pruning_reason is not None else "stopped_early"
    result["status"] = early if result["reason"] else "finished"
    result["steps"] = steps
    evaluated = result["resolution"]["chosen"]["size"] if "resolution" in result else session.default_view.size
    result["train_flops_per_image"] = (
        result["flops_per_image"]
        if session.crops.size == evaluated
        else count_flops(training.state.model, session.crops.size)
    )
    result["images_seen"] = steps * session.experiment.batch_size
    result["distinct_images"] = count_distinct_images(session.crops, steps)
    result["images_per_second"] = result["images_seen"] / max(result["seconds"]["train"], 1e-9)
    result["peak_memory_bytes"] = get_peak_memory(session.device)


def open_session_of(experiment: Experiment, choose_gpu: Callable[[Sequence[str]], int] = lease_gpu) -> TrainingSession:
    """The session of a training, without running it. choose_gpu: see `set_up_process`."""
    world, device = set_up_process(experiment, choose_gpu)
    with convert_errors():
        data = open_data(experiment)
    warn_of_shared_images(data)
    return open_session(experiment, data, world, device)


def count_images_of(experiment: Experiment) -> dict[str, int]:
    """The number of images of each part of the data."""
    with convert_errors():
        return open_data(experiment).count_images()


def hash_input_files(experiment: Experiment) -> dict[str, str]:
    """Hashes of the initial weights, the teacher and the labels. Read before the data, which are slow to decode."""
    model, distillation = experiment.model, experiment.regularization.distillation
    with prefix_invalid_values("model.weights"):
        weights = model.weights.content_hash(model.arch)
    with prefix_invalid_values("regularization.distillation"):
        teacher = distillation.content_hash()
    return {"weights": weights, "teacher": teacher, "supervision": experiment.supervision.content_hash()}


def compute_fingerprints(request: RunRequest, data: DataSet, content: dict[str, str]) -> tuple[str, str]:
    """The fingerprints (of the training, of the whole run). content: from `hash_input_files`."""
    images = torch.cat([data.train, data.val, data.test])
    split = compute_digest([len(data.train), len(data.val), hashlib.sha256(images.numpy().tobytes()).hexdigest()])
    order = {} if data.images.blocks is None else {"order": ORDER_OF_BLOCKS}
    groups = hash_groups(data, request.configuration.experiment.data.split)
    training = compute_training_fingerprint(
        request.configuration.values, {"data": data.digest, "images": split, **order, **groups, **content}
    )
    return training, compute_run_fingerprint(training, request.configuration.values)


def _write_result(files: RunFiles, result: dict[str, Any], world: World) -> None:
    if world.is_main:
        files.write_result(result)
