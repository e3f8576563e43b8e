"""The cost of a study, estimated from a few real training steps of each of its trainings. Nothing is written."""

from typing import Any

from sota_exp.errors import ConfigError, RunFailed, convert_errors
from sota_exp.preview.plan_numbers import plan_training
from sota_exp.preview.timing import MeasuredCost, estimate_cost, measure_cost
from sota_exp.study.arms import ComposedArm
from sota_exp.study.files import find_trainings
from sota_exp.study.results import PlannedStudy
from sota_exp.training.device import hand_back_gpu
from sota_exp.training.input_sizes import start_checked_training
from sota_exp.training.loop import TrainingSession, TrainingState
from sota_exp.training.run import open_session_of

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


def estimate_arm_seconds(study: PlannedStudy) -> dict[str, Any]:
    """Arm → seconds of one run, or the reason why that is unknown; and `num_test`, the number of test images.

    Of arms that share a training, only the first is charged for it; the others cost their evaluation.
    """
    found: dict[str, Any] = {}
    own = {arm.name for arm in find_trainings(study.arms).values()}
    for arm in study.arms.ready:
        try:
            found[arm.name], found["num_test"] = estimate_run_seconds(arm, trains=arm.name in own)
        except (ConfigError, RunFailed) as error:
            found[arm.name] = str(error)
    return found


@convert_errors()
def estimate_run_seconds(arm: ComposedArm, trains: bool) -> tuple[float, int]:
    """Estimated seconds of a run (of its evaluation if it does not train), and the number of test images."""
    session, state, measured = measure_arm(arm, SECONDS_PER_ARM if trains else 0.0)
    plan = plan_training(session, state)
    cost = estimate_cost(plan, measured)
    return cost.total if trains else cost.evaluate, plan.counts["test"]
