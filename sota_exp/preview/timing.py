"""The time and memory of a training, estimated from a few real steps. Nothing is written."""

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from sota_exp.config.experiment import Experiment
from sota_exp.models.build import build_network
from sota_exp.models.zoo import NotDownloaded
from sota_exp.preview.plan_numbers import TrainingPlan
from sota_exp.stages.model import FromScratch
from sota_exp.training.device import synchronize_device
from sota_exp.training.gpu_lease import lease_gpu
from sota_exp.training.input_sizes import start_checked_training
from sota_exp.training.last_epoch import tune_as_in_last_epoch
from sota_exp.training.loop import EpochRecord, StepRecord, TrainingSession, TrainingState, fit
from sota_exp.training.memory import get_peak_memory
from sota_exp.training.run import open_session_of

log = logging.getLogger(__name__)

#: Untimed first steps, in which memory is allocated and kernels are chosen.
WARMUP_STEPS = 3

#: Seconds of the CPU in which the share of other programs is measured.
PROBE_SECONDS = 0.1

#: Most images that are evaluated to time the evaluation.
MAX_SCORED_IMAGES = 64


@dataclass(frozen=True, kw_only=True)
class MeasuredCost:
    """Time of a few real steps in seconds, and peak memory in bytes, of the accelerator or else of the process."""

    num_steps: int
    first_step_seconds: float
    seconds_per_step: float
    seconds_per_scored_image: float
    peak_memory_bytes: int


@dataclass(frozen=True, kw_only=True)
class CostEstimate:
    """Estimated seconds of a whole training, of its validation and of the final evaluation."""

    train: float
    validate: float
    evaluate: float

    @property
    def total(self) -> float:
        return self.train + self.validate + self.evaluate


def open_for_measuring(
    experiment: Experiment, choose_gpu: Callable[[Sequence[str]], int] = lease_gpu
) -> tuple[TrainingSession, TrainingState]:
    """A training of which a few steps are measured: with random weights, which take as long, where others are missing.

    choose_gpu: see `set_up_process`.
    """
    session = open_session_of(experiment, choose_gpu)
    try:
        return session, start_checked_training(session)
    except NotDownloaded as error:
        log.warning("%s. What is estimated here is estimated with random weights; the training needs its own", error)
    model, num_classes = replace(session.experiment.model, weights=FromScratch()), len(session.data.classes)
    random = replace(session.experiment, model=model)
    session = replace(session, network=lambda: build_network(random, num_classes))
    return session, start_checked_training(session)


def measure_cost(session: TrainingSession, state: TrainingState, seconds: float) -> MeasuredCost:
    """Train with `state` for about `seconds`, then evaluate some images.

    All steps train what the last epoch trains, as the first ones may train the classifier alone, in a fraction of the
    time. Where steps are slow, one of them is timed. If training has no more steps than the untimed ones, the seconds
    per step are those of the first step.
    """
    records = fit(tune_as_in_last_epoch(session), state)
    began = time.monotonic()
    first = _run(records, 1, math.inf)
    synchronize_device(session.device)
    first_seconds = time.monotonic() - began
    warmed = _run(records, WARMUP_STEPS - 1, began + seconds)
    synchronize_device(session.device)
    began = time.monotonic()
    timed = _run(records, math.inf, began + seconds)
    synchronize_device(session.device)
    seconds_per_step = (time.monotonic() - began) / timed if timed else first_seconds
    return MeasuredCost(
        num_steps=first + warmed + timed,
        first_step_seconds=first_seconds,
        seconds_per_step=seconds_per_step,
        seconds_per_scored_image=_measure_seconds_per_scored_image(session, state),
        peak_memory_bytes=get_peak_memory(session.device),
    )


def measure_slowdown() -> float:
    """How many times as long work takes as the CPU works on it, since other programs have their share."""
    began, worked = time.monotonic(), time.thread_time()
    while time.thread_time() - worked < PROBE_SECONDS:
        pass
    return max(1.0, (time.monotonic() - began) / PROBE_SECONDS)


def _run(records: Iterator[StepRecord | EpochRecord], num_steps: float, deadline: float) -> int:
    """Train until `num_steps` steps are done, the deadline is over, or training ends; returns the number of steps."""
    done = 0
    while done < num_steps and (time.monotonic() < deadline):
        record = next(records, None)
        if record is None:
            break
        done += isinstance(record, StepRecord)
    return done


def _measure_seconds_per_scored_image(session: TrainingSession, state: TrainingState) -> float:
    """Seconds per image for the default view, cropping included, in the second of two equal passes."""
    num = min(MAX_SCORED_IMAGES, len(session.data.val))
    part = replace(session.data, val=session.data.val[:num])
    began = 0.0
    for _ in range(2):
        began = time.monotonic()
        evaluator = replace(session.evaluator, data=part, _cache={})
        evaluator.logits(state.average.module, "val", session.default_view)
    return (time.monotonic() - began) / num


def estimate_cost(plan: TrainingPlan, measured: MeasuredCost) -> CostEstimate:
    """The time of the whole training; the cost of evaluation is proportional to the area of a view.

    Not included: decoding, the graph of label propagation, recalibration of normalization layers.
    """
    views = sum((view.size / plan.views[0].size) ** 2 for view in plan.views)
    networks = 2 if plan.is_averaged else 1
    scored = measured.seconds_per_scored_image
    return CostEstimate(
        train=plan.total_steps * measured.seconds_per_step,
        validate=plan.num_epochs * plan.counts["val"] * networks * scored,
        evaluate=(plan.counts["val"] * views + plan.counts["test"]) * scored,
    )
