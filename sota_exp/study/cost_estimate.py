"""The cost of a study, estimated from a few real training steps of each of its trainings. Nothing is written."""

from dataclasses import dataclass, replace
from typing import Any

import torch

from sota_exp.config.configuration import Configuration
from sota_exp.errors import ConfigError, RunFailed, convert_errors
from sota_exp.preview.plan_numbers import plan_training
from sota_exp.preview.timing import CostEstimate, MeasuredCost, estimate_cost, measure_cost, open_for_measuring
from sota_exp.report.numbers import format_count
from sota_exp.report.terminal import make_console
from sota_exp.study.arms import ComposedArm
from sota_exp.study.files import find_trainings
from sota_exp.study.results import PlannedStudy
from sota_exp.training.device import get_default_threads, hand_back_gpu
from sota_exp.training.loop import TrainingSession, TrainingState
from sota_exp.training.run import count_images_of

#: Seconds for which an arm is trained to measure its speed.
SECONDS_PER_ARM = 1.5


def measure_arm(
    arm: ComposedArm, seconds: float, num_at_once: int = 1
) -> tuple[TrainingSession, TrainingState, MeasuredCost]:
    """Train an arm for about `seconds`, then evaluate some images, with the CPUs of one of `num_at_once` runs."""
    experiment = arm.configuration.experiment
    if num_at_once > 1 and experiment.runtime.threads is None:
        threads = max(1, get_default_threads() // num_at_once)
        experiment = replace(experiment, runtime=replace(experiment.runtime, threads=threads))
    try:
        session, state = open_for_measuring(experiment)
        return session, state, measure_cost(session, state, seconds)
    finally:
        hand_back_gpu()  # Else trainings in other processes would wait for this one.


@dataclass(frozen=True, kw_only=True)
class RunCost:
    """The estimated cost of a run. images: trained on, each as often as it is. counts: images of each part.

    trains: whether the run trains; else it shares the training of another arm, and costs its evaluation.
    """

    seconds: CostEstimate
    images: int
    counts: dict[str, int]
    trains: bool

    @property
    def total_seconds(self) -> float:
        return self.seconds.total if self.trains else self.seconds.evaluate


def estimate_arm_costs(study: PlannedStudy, num_at_once: int = 1) -> dict[str, RunCost | str]:
    """Arm → the cost of one run, or the reason why that is unknown.

    Of arms that share a training, only the first is charged for it. num_at_once: runs that are trained at a time.
    """
    _announce_measuring(len(study.arms.ready))
    found: dict[str, RunCost | str] = {}
    own = {arm.name for arm in find_trainings(study.arms).values()}
    for arm in study.arms.ready:
        try:
            found[arm.name] = estimate_run_cost(arm, num_at_once, trains=arm.name in own)
        except (ConfigError, RunFailed) as error:
            found[arm.name] = str(error)
    return found


def _announce_measuring(num_arms: int) -> None:
    """Say what is done before the first line of a plan: on a slow machine that takes a minute."""
    out = make_console(is_progress=True)
    out.print(f"  a few steps of each of {format_count(num_arms, 'arm')} are measured …", style="dim")


def estimate_arm_seconds(study: PlannedStudy, num_at_once: int) -> dict[str, Any]:
    """Arm → seconds of one run, or the reason why that is unknown; and `counts`, the number of images of each part."""
    costs = estimate_arm_costs(study, num_at_once)
    found: dict[str, Any] = {
        name: cost if isinstance(cost, str) else cost.total_seconds for name, cost in costs.items()
    }
    known = [cost.counts for cost in costs.values() if not isinstance(cost, str)]
    return found | {"counts": known[0] if known else {}}


def count_runs_at_once(study: PlannedStudy, num_jobs: int) -> int:
    """How many of the launcher's `num_jobs` runs are trained at a time: on GPUs, one on each."""
    is_on_cpu = study.arms.ready[0].configuration.experiment.runtime.device == "cpu"
    num_gpus = 0 if is_on_cpu or num_jobs == 1 else torch.cuda.device_count()
    return min(num_jobs, num_gpus or num_jobs)


@convert_errors()
def estimate_run_cost(arm: ComposedArm, num_at_once: int, trains: bool) -> RunCost:
    """The cost of a run, by a few of its steps."""
    session, state, measured = measure_arm(arm, SECONDS_PER_ARM if trains else 0.0, num_at_once)
    plan = plan_training(session, state)
    return RunCost(
        seconds=estimate_cost(plan, measured),
        images=plan.total_steps * session.experiment.batch_size,
        counts=plan.counts,
        trains=trains,
    )


def count_images(configuration: Configuration) -> dict[str, int]:
    """The number of images of each part; {} where the data cannot be opened, or cannot be cut so."""
    try:
        return count_images_of(configuration.experiment)
    except (ConfigError, RunFailed):
        return {}
