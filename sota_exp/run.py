"""One run from its directory's point of view: look what is there, train what is missing, evaluate, write the result.

`run` consumes the records of `fit`: it validates, checkpoints, tells listeners, and stops by ceasing to iterate.
"""

import hashlib
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sota_exp import distributed, saved
from sota_exp.config import digest, keyed
from sota_exp.data.loading import TrainCrops
from sota_exp.distributed import World
from sota_exp.errors import ConfigError, Interrupted, RunFailed
from sota_exp.evaluate import Evaluator, scores
from sota_exp.experiment import Experiment
from sota_exp.fingerprint import differences, fingerprint, training_fingerprint
from sota_exp.interrupts import Interrupts
from sota_exp.result import device_name, empty_result, parameter_count, peak_memory_bytes
from sota_exp.scoring import choose_view, draw_resolution, require_sizes, score
from sota_exp.session import limited, open_session, pick_device
from sota_exp.stages import DataSet, View
from sota_exp.tracking.files import RunFiles, write_atomically, write_weights
from sota_exp.tracking.mistakes import write_mistakes
from sota_exp.tracking.start import data_facts, write_start
from sota_exp.train import Epoch, Session, State, Step, fit, start

#: Checkpoints are written after an epoch, but not more often than this in seconds; a shorter loss is quickly trained again.
CHECKPOINT_SECONDS = 10.0

#: Statuses of a run that has nothing left to train.
COMPLETE = ("finished", "stopped_early")


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked for: the experiment, its resolved configuration, the option in each slot, and the place."""

    experiment: Experiment
    tree: dict[str, Any]
    choices: dict[str, str]
    directory: Path


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What lies ahead, for whoever watches."""

    request: Request
    device: str
    num_train: int
    steps_per_epoch: int
    total_steps: int
    first_step: int
    parameters: int


class Listener(ABC):
    """Watches a run; what it does never changes the run."""

    @abstractmethod
    def started(self, plan: Plan) -> None: ...

    @abstractmethod
    def stepped(self, record: Step) -> None: ...

    @abstractmethod
    def epoch_done(self, epoch: dict[str, Any]) -> None: ...

    @abstractmethod
    def ended(self, result: dict[str, Any]) -> None: ...


@dataclass(kw_only=True)
class Ledger:
    """What the run has to remember beside the state of training."""

    epochs: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    resumed: int = 0
    evaluated_as: str = ""

    @property
    def history(self) -> list[float]:
        return [epoch["val/accuracy"] for epoch in self.epochs]

    @property
    def best_epoch(self) -> int:
        """The first epoch of the highest validation accuracy of the weights that ship."""
        return int(np.argmax(self.history))


def run(request: Request, listener: Listener) -> dict[str, Any]:
    """Do what the request asks and its directory lacks; the content of `result.json`.

    Raises:
        ConfigError: the request can't be met as it is written, or the directory holds another run.
        RunFailed: it diverged, ran out of memory or disk, or met unreadable data. Interrupted: a signal came.
    """
    experiment = request.experiment
    world = distributed.join("cuda" if torch.cuda.is_available() else "cpu")
    device = pick_device(experiment.runtime.device, world.local_rank)
    if experiment.runtime.threads is not None:
        torch.set_num_threads(experiment.runtime.threads)
    began = time.monotonic()
    try:
        content = content_of_files(experiment)
        data = open_data(experiment)
    except (RuntimeError, MemoryError, OSError) as error:
        raise as_failure(error) or error from error
    data_seconds = time.monotonic() - began
    prints = fingerprints(request, data, content)
    files = RunFiles(directory=request.directory)
    previous = files.result()
    check_same_run(files, request, prints[0])
    if previous is not None and previous["status"] in COMPLETE and previous["fingerprint"] == prints[1]:
        return previous
    session, evaluator = open_session(experiment, data, world, device)
    result = empty_result(experiment.seed, request.choices, prints, resumed=0)
    result["device"] = device_name(device)
    result["seconds"] = {"data": data_seconds}
    if world.is_main:
        files.write_config(request.tree)
    try:
        return _go(request, files, session, evaluator, result, listener)
    except (RunFailed, Interrupted, RuntimeError, MemoryError, OSError) as error:
        failure = as_failure(error)
        if failure is None:
            raise
        result["status"] = "interrupted" if isinstance(failure, Interrupted) else "failed"
        result["reason"] = str(failure)
        _write_result(files, result, world)
        listener.ended(result)
        raise failure from error


def _go(
    request: Request,
    files: RunFiles,
    session: Session,
    evaluator: Evaluator,
    result: dict[str, Any],
    listener: Listener,
) -> dict[str, Any]:
    if session.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(session.device)
    state, ledger = start(session), Ledger(evaluated_as=result["fingerprint"])
    require_sizes(state.model, request.experiment.evaluation.resolution.views())
    resume(files, state, ledger)
    result |= {"resumed": ledger.resumed, "parameters": parameter_count(state.model)}
    if session.world.is_main:
        write_start(files.directory, result, data_facts(request.tree, session.data))
    listener.started(
        Plan(
            request=request,
            device=result["device"],
            num_train=len(session.data.train),
            steps_per_epoch=session.steps_per_epoch,
            total_steps=session.total_steps,
            first_step=state.step,
            parameters=result["parameters"],
        )
    )
    began = time.monotonic()
    stopped = train(files, session, evaluator, state, ledger, result, listener)
    result["seconds"]["train"] = sum(epoch["seconds"] for epoch in ledger.epochs)
    result["seconds"]["validate"] = sum(epoch["validate_seconds"] for epoch in ledger.epochs)
    result["reason"] = stopped
    began = time.monotonic()
    finalize(request, files, session, evaluator, state, ledger, result)
    result["seconds"]["evaluate"] = time.monotonic() - began
    result["status"] = "stopped_early" if stopped else "finished"
    result["steps"] = state.step
    result["images_seen"] = state.step * request.experiment.batch_size
    result["distinct_images"] = distinct_images(session.crops, state.step)
    result["images_per_second"] = result["images_seen"] / max(result["seconds"]["train"], 1e-9)
    result["peak_memory_bytes"] = peak_memory_bytes(session.device)
    _write_result(files, result, session.world)
    listener.ended(result)
    return result


def open_data(experiment: Experiment) -> DataSet:
    """The set, limited to the scale; what is wrong with it names its key."""
    with keyed("data"):
        return limited(experiment.data(), experiment.scale)


def content_of_files(experiment: Experiment) -> dict[str, str]:
    """Hashes of the weights and the knowledge a run starts from; read before the data, which may take long to make."""
    model, distillation = experiment.model, experiment.regularization.distillation
    with keyed("model.weights"):
        weights = model.weights.content(model.arch)
    with keyed("regularization.distillation"):
        teacher = distillation.content()
    return {"weights": weights, "teacher": teacher, "supervision": experiment.supervision.content()}


def fingerprints(request: Request, data: DataSet, content: dict[str, str]) -> tuple[str, str]:
    """(of the training, of the run)."""
    images = torch.cat([data.train, data.val, data.test])
    split = digest([len(data.train), len(data.val), hashlib.sha256(images.numpy().tobytes()).hexdigest()])
    training = training_fingerprint(request.tree, {"data": data.digest, "images": split, **content})
    return training, fingerprint(training, request.tree)


def check_same_run(files: RunFiles, request: Request, training: str) -> None:
    """Refuse a directory that holds another training, saying in what they differ."""
    checkpoint, result, config = files.checkpoint(), files.result(), files.config()
    there = (checkpoint or result or {}).get("training_fingerprint", training)
    if there != training:
        found = differences(config or {}, request.tree) or ["the images or the weights it starts from"]
        raise ConfigError(
            f"hydra.run.dir={files.directory} holds another run, which differs in {'; '.join(found[:5])}. "
            "Choose another place, or remove that one"
        )


def resume(files: RunFiles, state: State, ledger: Ledger) -> None:
    """Take up a checkpoint where there is one: state, epochs up to it, best weights."""
    checkpoint = files.checkpoint()
    if checkpoint is None:
        return
    state.load_state_dict(checkpoint["state"])
    ledger.epochs = [epoch for epoch in files.metrics() if epoch["step"] <= state.step]
    ledger.best = checkpoint["best"]
    ledger.resumed = checkpoint["resumed"] + 1
    ledger.evaluated_as = checkpoint["evaluated_as"]


def train(
    files: RunFiles,
    session: Session,
    evaluator: Evaluator,
    state: State,
    ledger: Ledger,
    result: dict[str, Any],
    listener: Listener,
) -> str | None:
    """Train to the end; the reason for stopping earlier, if any."""
    training = result["training_fingerprint"]
    if ledger.epochs and (reason := stopping_reason(session, ledger)):
        return reason
    saved_at = time.monotonic()
    with Interrupts() as interrupts:
        for record in watched(session, state):
            if isinstance(record, Epoch):
                epoch_done(files, session, evaluator, state, ledger, record)
                listener.epoch_done(ledger.epochs[-1])
                reason = stopping_reason(session, ledger)
                if reason or state.step == session.total_steps or time.monotonic() - saved_at > CHECKPOINT_SECONDS:
                    save(files, session.world, state, ledger, training)
                    saved_at = time.monotonic()
                if reason:
                    return reason
            else:
                listener.stepped(record)
            if interrupts.received is not None and may_stop(record, session):
                save(files, session.world, state, ledger, training)
                raise Interrupted(interrupts.received)
    return None


def watched(session: Session, state: State) -> Iterator[Step | Epoch]:
    """The records of `fit`; an empty iterator where training had ended before."""
    if state.step < session.total_steps:
        yield from fit(session, state)


def may_stop(record: Step | Epoch, session: Session) -> bool:
    """After an epoch, or inside one; not between an epoch's last step and its validation, which would then be left out.

    Processes that train together stop after an epoch, where none waits for another in the middle of a step.
    """
    return isinstance(record, Epoch) or (session.world.size == 1 and record.step % session.steps_per_epoch != 0)


def stopping_reason(session: Session, ledger: Ledger) -> str | None:
    """Early stopping's verdict on the weights that ship, the same on every rank since every rank knows the history."""
    planned = session.experiment.schedule.length.num_epochs
    if len(ledger.epochs) < planned and session.experiment.schedule.early_stopping(ledger.history):
        return f"no better validation accuracy since epoch {ledger.best_epoch + 1} of {planned}"
    return None


def epoch_done(
    files: RunFiles, session: Session, evaluator: Evaluator, state: State, ledger: Ledger, record: Epoch
) -> None:
    """Validate, remember the best, write the epoch's line."""
    for name, value in record.metrics.items():
        if not math.isfinite(value):
            raise RunFailed(f"diverged: {name} is {value} in epoch {record.epoch + 1}; try a lower optimizer.lr")
    began = time.monotonic()
    metrics = record.metrics | validate(session, evaluator, state)
    images = session.steps_per_epoch * session.experiment.batch_size
    ledger.epochs.append(
        {
            "epoch": record.epoch,
            "step": record.step,
            "progress": record.step / session.total_steps,
            "seconds": record.seconds,
            "validate_seconds": time.monotonic() - began,
            "images_per_second": images / record.seconds,
            **metrics,
        }
    )
    if ledger.best_epoch == len(ledger.epochs) - 1:
        ledger.best = shipping_weights(state)
    if session.world.is_main:
        files.write_metrics(ledger.epochs)


def shipping_weights(state: State) -> dict[str, Tensor]:
    """A copy, on the CPU, of the weights that ship: the average's where there is one."""
    return {name: tensor.detach().cpu().clone() for name, tensor in state.average.module.state_dict().items()}


def validate(session: Session, evaluator: Evaluator, state: State) -> dict[str, float]:
    """Scores on val of the weights that ship, and of the raw ones beside an average."""
    view = session.experiment.evaluation.resolution.views()[0]
    labels = evaluator.labels("val")
    state.average.finish(evaluator.images("train", view))
    shipped = scores(evaluator.logits(state.average.module, "val", view), labels)
    metrics = {f"val/{name}": value for name, value in shipped.items()}
    if state.average.module is not state.model:
        raw = scores(evaluator.logits(state.model, "val", view), labels)
        metrics |= {f"val_raw/{name}": value for name, value in raw.items()}
    return metrics


def save(files: RunFiles, world: World, state: State, ledger: Ledger, training: str) -> None:
    """Write a checkpoint from which this training goes on bit for bit."""
    if world.is_main:
        files.write_checkpoint(
            {
                "training_fingerprint": training,
                "state": state.state_dict(),
                "best": ledger.best,
                "resumed": ledger.resumed,
                "evaluated_as": ledger.evaluated_as,
            }
        )


def finalize(
    request: Request,
    files: RunFiles,
    session: Session,
    evaluator: Evaluator,
    state: State,
    ledger: Ledger,
    result: dict[str, Any],
) -> None:
    """Write the model, then score what was written: the numbers of a table come from the files that ship."""
    chosen = ledger.best_epoch if request.experiment.evaluation.select == "best" else len(ledger.epochs) - 1
    weights = {"best": ledger.best, "last": shipping_weights(state)}
    resolution = request.experiment.evaluation.resolution
    if session.world.is_main:
        for which, tensors in weights.items():
            write_weights(files.kept(which), tensors)
        write_weights(files.weights, weights[request.experiment.evaluation.select])
        _write_model(request, files, session, evaluator, resolution.views()[0])
    session.world.wait()
    model = saved.load(files.model, files.weights)
    network = model.network.to(session.device, memory_format=session.memory_format)
    shipped = choose_view(network, evaluator, resolution)
    if ledger.evaluated_as == result["fingerprint"]:
        default = {
            "metrics": {"val/accuracy": shipped.default_accuracy},
            "evaluated_images": {"val": len(shipped.logits)},
        }
        check_rescored(ledger.epochs[chosen]["val/accuracy"], default)
    arrays = score(network, shipped, evaluator, result)
    result["metrics"]["best/epoch"] = ledger.best_epoch
    result["metrics"]["train/loss"] = ledger.epochs[chosen]["train/loss"]
    if session.world.is_main:
        _write_model(request, files, session, evaluator, shipped.view)
        write_atomically(files.predictions, lambda file: np.savez(file, **arrays))
        write_mistakes(files.directory, session.data, shipped.view, arrays)
        draw_resolution(shipped.report, files.directory)


def _write_model(request: Request, files: RunFiles, session: Session, evaluator: Evaluator, view: View) -> None:
    files.write_model(saved.description(request.tree, session.data.classes, evaluator.normalization, view))


def check_rescored(trained: float, result: dict[str, Any]) -> None:
    """Fail the run where the files that ship score otherwise than the network in memory did.

    One image in a thousand may change sides: kernels that are picked by speed round differently.
    """
    rescored, num = result["metrics"]["val/accuracy"], result["evaluated_images"]["val"]
    if abs(round(rescored * num) - round(trained * num)) > max(1, num // 1000):
        raise RunFailed(f"the saved model scores {rescored:.4f} on val, the trained one scored {trained:.4f}")


def _write_result(files: RunFiles, result: dict[str, Any], world: World) -> None:
    if world.is_main:
        files.write_result(result)


def distinct_images(crops: TrainCrops, num_steps: int) -> int:
    """How many different training images `num_steps` steps have drawn."""
    seen = torch.zeros(len(crops.train), dtype=torch.bool)
    for epoch in range(math.ceil(num_steps / crops.steps_per_epoch)):
        steps = min(num_steps - epoch * crops.steps_per_epoch, crops.steps_per_epoch)
        seen[crops.order(epoch)[: steps * crops.batch_size]] = True
        if seen.all():
            break
    return int(seen.sum())


def as_failure(error: Exception) -> RunFailed | Interrupted | None:
    """The failure that an exception means, in one line; None for what nobody foresaw."""
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    if isinstance(error, RunFailed | Interrupted):
        return error
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in text:
        return RunFailed(f"out of memory: {text}; try a smaller batch_size or schedule/accumulation=micro_batches")
    if isinstance(error, OSError) and error.errno == 28:
        return RunFailed(f"disk full: {text}")
    if isinstance(error, OSError):
        return RunFailed(f"cannot read or write: {text}")
    return None
