"""The cost of a study, estimated from a few real training steps of each of its trainings. Nothing is written."""

from typing import Any

from sota_exp.errors import ConfigError, RunFailed
from sota_exp.study.arms import ReadyArm
from sota_exp.study.files import trainings
from sota_exp.study.results import Study

#: Seconds for which an arm is trained to measure its speed.
SECONDS_AN_ARM = 1.5


def estimated(study: Study) -> dict[str, Any]:
    """Arm → seconds of one run, or the reason why that is unknown; and `num_test`, the number of test images.

    Of arms that share a training, only the first is charged for it; the others cost their evaluation.
    """
    found: dict[str, Any] = {}
    own = {arm.name for arm in trainings(study.arms).values()}
    for arm in study.arms.ready:
        try:
            found[arm.name], found["num_test"] = seconds_of_a_run(arm, trains=arm.name in own)
        except (ConfigError, RunFailed) as error:
            found[arm.name] = str(error)
    return found


def seconds_of_a_run(arm: ReadyArm, trains: bool) -> tuple[float, int]:
    """Estimated seconds of a run (of its evaluation if it does not train), and the number of test images.

    Raises:
        ConfigError: the configuration does not fit the data.
        RunFailed: out of memory or disk, or unreadable files.
    """
    from sota_exp.preview.plan_numbers import outline
    from sota_exp.preview.timing import estimate, is_averaged, measure
    from sota_exp.training.failures import foreseen
    from sota_exp.training.loop import start
    from sota_exp.training.run import ready

    session, evaluator = ready(arm.configuration.experiment)
    with foreseen():
        state = start(session)
        plan = outline(session, state)
        measured = measure(session, state, evaluator, SECONDS_AN_ARM if trains else 0.0)
    cost = estimate(plan, measured, is_averaged(state))
    return cost.total if trains else cost.evaluate, plan.counts["test"]
