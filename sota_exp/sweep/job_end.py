"""End the trials whose jobs left them running: release them, record their values, or mark them as failed."""

import math
from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from optuna.trial import TrialState

from sota_exp.errors import Interrupted, in_a_line
from sota_exp.sweep import ownership
from sota_exp.sweep.claim import Claim
from sota_exp.sweep.storage import patiently
from sota_exp.sweep.sweep import Sweep


def end_trial(sweep: Sweep, claim: Claim, job: JobReturn | None) -> None:
    """End a trial that its job left running: a job of another program returns its values and does not know the study.

    Raises:
        Interrupted: a signal ended the job.
    """
    if sweep.get_trials()[claim.number].state != TrialState.RUNNING or job is None:
        return
    if job.status == JobStatus.COMPLETED:
        _record_values(sweep, claim.number, job.return_value)
        return
    error = vars(job)["_return_value"]
    if isinstance(error, Interrupted):
        release_trials(sweep, [claim])
        raise error
    fail_trial(sweep, claim.number, in_a_line(error) if isinstance(error, BaseException) else "its job failed")


def _record_values(sweep: Sweep, number: int, returned: Any) -> None:
    values = returned if isinstance(returned, list | tuple) else [returned]
    num_objectives = len(sweep.goal.objectives)
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) != num_objectives or any(math.isnan(value) for value in numbers):
        fail_trial(sweep, number, f"its job returned {returned}, not {num_objectives} numbers")
        return
    patiently(lambda: ownership.end(sweep.study, number, numbers))


def fail_trial(sweep: Sweep, number: int, reason: str) -> None:
    patiently(lambda: ownership.fail(sweep.study, sweep.study.get_trials(deepcopy=False)[number], reason))


def release_trials(sweep: Sweep, claims: Sequence[Claim]) -> None:
    """Leave running trials without an owner, so that this or another process takes them again."""
    for claim in claims:
        patiently(lambda claim=claim: ownership.let_go(sweep.study, claim.number, claim.token))  # type: ignore[misc]
