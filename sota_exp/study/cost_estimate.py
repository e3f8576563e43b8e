"""The cost of a study, estimated from a few real training steps of each of its trainings. Nothing is written."""

from typing import Any

from sota_exp.errors import ConfigError, RunFailed
from sota_exp.study.arms import ComposedArm
from sota_exp.study.files import find_trainings
from sota_exp.study.results import PlannedStudy

#: Seconds for which an arm is trained to measure its speed.
SECONDS_PER_ARM = 1.5


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


def estimate_run_seconds(arm: ComposedArm, trains: bool) -> tuple[float, int]:
    """Estimated seconds of a run (of its evaluation if it does not train), and the number of test images.

    Raises:
        ConfigError: the configuration does not fit the data.
        RunFailed: out of memory or disk, or unreadable files.
    """
    from sota_exp.preview.plan_numbers import plan_training
    from sota_exp.preview.timing import estimate_cost, measure_cost
    from sota_exp.training.failures import convert_errors
    from sota_exp.training.loop import start_training
    from sota_exp.training.run import open_session_of

    session, evaluator = open_session_of(arm.configuration.experiment)
    with convert_errors():
        state = start_training(session)
        plan = plan_training(session, state)
        measured = measure_cost(session, state, evaluator, SECONDS_PER_ARM if trains else 0.0)
    cost = estimate_cost(plan, measured)
    return cost.total if trains else cost.evaluate, plan.counts["test"]
