"""Run a batch of trials with Hydra's launcher, end the trials that their jobs left running, and count failures."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from optuna.trial import TrialState

from sota_exp.config.job_returns import get_error
from sota_exp.config.launch import is_sequential, launch_jobs
from sota_exp.errors import ConfigError, Interrupted, RunFailed, RunLost, in_a_line
from sota_exp.sweep import ownership
from sota_exp.sweep.console import TrialLines
from sota_exp.sweep.space import parse_number
from sota_exp.sweep.storage import retry_while_disconnected
from sota_exp.sweep.sweep import Sweep
from sota_exp.sweep.take_trial import ClaimedTrial
from sota_exp.sweep.trial import NotMeasured, TrialIdentity, send_heartbeats

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class BatchLauncher:
    """Runs batches and keeps what the next one needs.

    reasons: of the failures in a row since the last trial that did not fail. composed: overrides, without numbers,
    that Hydra has composed; it can then compose them with other numbers too.
    """

    sweep: Sweep
    num_launched: int = 0
    reasons: list[str] = field(default_factory=list)
    composed: set[tuple[str, ...]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.lines = None if is_sequential(self.sweep.launcher) else TrialLines(self.sweep)

    def launch(self, batch: Sequence[ClaimedTrial]) -> None:
        """Run a batch while sending heartbeats for it, then end every trial that its job did not end.

        Raises:
            RunFailed: too many failures, or a trial without a value of an objective.
            Interrupted: a signal ended a trial.
        """
        self.num_launched += len(batch)
        ready = [claim for claim in batch if self._can_compose(claim)]
        returns: Sequence[JobReturn] = []
        look = self.lines.begin(ready) if self.lines is not None else None
        try:
            if ready:
                with send_heartbeats(self.sweep.study, [claim.trial_id for claim in ready]):
                    jobs = [job_overrides(self.sweep, claim) for claim in ready]
                    returns = launch_jobs(self.sweep.launcher, jobs, ready[0].number, look)
        except (KeyboardInterrupt, Interrupted):
            release_trials(self.sweep, ready)
            raise
        for claim, job in zip(ready, returns, strict=False):
            end_trial(self.sweep, claim, job)
        if look is not None:
            look()
        errors = [get_error(job) for job in returns]
        if missing := next((error for error in errors if isinstance(error, NotMeasured)), None):
            raise missing
        self._count_failures(batch)

    def _can_compose(self, claim: ClaimedTrial) -> bool:
        """Whether Hydra can compose the configuration of the trial; if not, the trial fails with the reason."""
        pattern = tuple(_drop_number(override) for override in claim.overrides)
        if pattern in self.composed:
            return True
        try:
            self.sweep.require_composable(list(claim.overrides), job_overrides(self.sweep, claim))
        except ConfigError as error:
            fail_trial(self.sweep, claim.number, str(error))
            return False
        self.composed.add(pattern)
        return True

    def _count_failures(self, batch: Sequence[ClaimedTrial]) -> None:
        failed, trials = [], self.sweep.get_trials()
        for trial in (trials[claim.number] for claim in batch):
            if trial.state == TrialState.FAIL:
                failed.append(f"trial {trial.number}: {trial.user_attrs.get(ownership.REASON, 'no reason is known')}")
                log.warning("%s", failed[-1])
            elif trial.state != TrialState.RUNNING:
                self.reasons = []
        self.reasons += failed
        if len(failed) / len(batch) > self.sweep.settings.max_failure_rate:
            raise RunFailed(f"{len(failed)} of {len(batch)} trials of a batch failed; {failed[-1]}")
        if len(self.reasons) >= self.sweep.settings.max_failures_in_a_row:
            none = "" if any(trial.state == TrialState.COMPLETE for trial in trials) else "; no trial is complete"
            last = f"The last was {self.reasons[-1].rstrip('.')}. When it is fixed, repeat the command to continue"
            raise RunFailed(f"{len(self.reasons)} trials in a row failed{none}. {last}")


def job_overrides(sweep: Sweep, claim: ClaimedTrial) -> list[str]:
    """The overrides of a trial's job."""
    identity = TrialIdentity(
        store=sweep.store,
        number=claim.number,
        token=claim.token,
        pruner=sweep.pruner,
        pruning_starts=sweep.settings.pruning_starts,
        objectives=sweep.goal.objectives,
        constraints=sweep.goal.constraints,
        seeds=sweep.settings.seeds,
    )
    return sweep.job("trial", f"trial {claim.number}: {claim.title}", claim.overrides, str(claim.number), identity)


def end_trial(sweep: Sweep, claim: ClaimedTrial, job: JobReturn) -> None:
    """End a trial that its job left running: a job of another program returns its values and does not know the study.

    Raises:
        Interrupted: a signal ended the job.
    """
    trial = sweep.get_trials()[claim.number]
    if trial.state != TrialState.RUNNING:
        return
    if job.status == JobStatus.COMPLETED and not ownership.is_held(trial, claim.token):
        return  # It saw so too, and did nothing.
    if job.status == JobStatus.COMPLETED:
        _record_values(sweep, claim.number, job.return_value)
        return
    error = get_error(job)
    if isinstance(error, Interrupted | RunLost):
        release_trials(sweep, [claim])
    if isinstance(error, RunLost):
        return
    if isinstance(error, Interrupted):
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
    retry_while_disconnected(lambda: ownership.end_trial(sweep.study, number, numbers))


def fail_trial(sweep: Sweep, number: int, reason: str) -> None:
    retry_while_disconnected(
        lambda: ownership.fail_trial(sweep.study, sweep.study.get_trials(deepcopy=False)[number], reason)
    )


def release_trials(sweep: Sweep, claims: Sequence[ClaimedTrial]) -> None:
    """Leave running trials without an owner, so that this or another process takes them again."""
    for claim in claims:
        retry_while_disconnected(partial(ownership.release_trial, sweep.study, claim.number, claim.token))


def _drop_number(override: str) -> str:
    """The key alone where the value is a number, else the whole override."""
    key, _, value = override.partition("=")
    return key if isinstance(parse_number(value), float) else override
