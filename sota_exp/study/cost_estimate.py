"""The cost of a study, estimated from a few real training steps of each of its trainings. Nothing is written."""

from dataclasses import dataclass
from typing import Any

from sota_exp.config.configuration import Configuration
from sota_exp.errors import ConfigError, RunFailed, convert_errors
from sota_exp.preview.plan_numbers import plan_training
from sota_exp.preview.timing import CostEstimate, MeasuredCost, estimate_cost, measure_cost
from sota_exp.study.arms import ComposedArm
from sota_exp.study.files import find_trainings
from sota_exp.study.results import PlannedStudy
from sota_exp.training.device import hand_back_gpu
from sota_exp.training.input_sizes import start_checked_training
from sota_exp.training.loop import TrainingSession, TrainingState
from sota_exp.training.run import count_images_of, open_session_of

#: Seconds for which an arm is trained to measure its speed.
SECONDS_PER_ARM = 1.5


def measure_arm(arm: ComposedArm, seconds: float) -> tuple[TrainingSession, TrainingState, MeasuredCost]:
    """Train an arm for about `seconds`, then evaluate some images."""
    try:
        session = open_session_of(arm.configuration.experiment)
        state = start_checked_training(session)
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


def estimate_arm_costs(study: PlannedStudy) -> dict[str, RunCost | str]:
    """Arm → the cost of one run, or the reason why that is unknown.

    Of arms that share a training, only the first is charged for it.
    """
    found: dict[str, RunCost | str] = {}
    own = {arm.name for arm in find_trainings(study.arms).values()}
    for arm in study.arms.ready:
        try:
            found[arm.name] = estimate_run_cost(arm, trains=arm.name in own)
        except (ConfigError, RunFailed) as error:
            found[arm.name] = str(error)
    return found


def estimate_arm_seconds(study: PlannedStudy) -> dict[str, Any]:
    """Arm → seconds of one run, or the reason why that is unknown; and `counts`, the number of images of each part."""
    costs = estimate_arm_costs(study)
    found: dict[str, Any] = {
        name: cost if isinstance(cost, str) else cost.total_seconds for name, cost in costs.items()
    }
    known = [cost.counts for cost in costs.values() if not isinstance(cost, str)]
    return found | {"counts": known[0] if known else {}}


@convert_errors()
def estimate_run_cost(arm: ComposedArm, trains: bool) -> RunCost:
    """The cost of a run, by a few of its steps."""
    session, state, measured = measure_arm(arm, SECONDS_PER_ARM if trains else 0.0)
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
