"""Run a batch of trials with Hydra's launcher, and count failures."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra.core.utils import JobReturn
from optuna.trial import TrialState

from sota_exp.errors import ConfigError, Interrupted, RunFailed, in_a_line
from sota_exp.sweep import ownership
from sota_exp.sweep.claim import Claim
from sota_exp.sweep.job_end import end_trial, fail_trial, release_trials
from sota_exp.sweep.sweep import Sweep
from sota_exp.sweep.trial import Brief, Identity, beating

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

    def launch(self, batch: Sequence[Claim]) -> None:
        """Run a batch while sending heartbeats for it, then end every trial that its job did not end.

        Raises:
            RunFailed: too many failures.
            Interrupted: a signal ended a trial.
        """
        self.num_launched += len(batch)
        ready = [claim for claim in batch if self._can_compose(claim)]
        if not ready:
            self._end_batch(batch, None)
            return
        returns: Sequence[JobReturn] | None = None
        try:
            with beating(self.sweep.study, [claim.trial_id for claim in ready]):
                jobs = [job_overrides(self.sweep, claim) for claim in ready]
                returns = self.sweep.launcher.launch(jobs, initial_job_idx=ready[0].number)
        except (KeyboardInterrupt, Interrupted):
            release_trials(self.sweep, ready)
            raise
        except Exception as error:  # A worker died; the launcher does not report which one.
            log.warning("the launcher lost trials %s: %s", [claim.number for claim in ready], in_a_line(error))
            release_trials(self.sweep, ready)
        self._end_batch([claim for claim in batch if claim not in ready], None)
        if returns is not None:
            self._end_batch(ready, returns)

    def _can_compose(self, claim: Claim) -> bool:
        """Whether Hydra can compose the configuration of the trial; if not, the trial fails with the reason."""
        pattern = tuple(_without_number(override) for override in claim.overrides)
        if pattern in self.composed:
            return True
        try:
            self.sweep.require_composable(list(claim.overrides), job_overrides(self.sweep, claim))
        except ConfigError as error:
            fail_trial(self.sweep, claim.number, str(error))
            return False
        self.composed.add(pattern)
        return True

    def _end_batch(self, batch: Sequence[Claim], returns: Sequence[JobReturn] | None) -> None:
        failed = []
        for index, claim in enumerate(batch):
            end_trial(self.sweep, claim, returns[index] if returns is not None else None)
            trial = self.sweep.get_trials()[claim.number]
            if trial.state == TrialState.FAIL:
                failed.append(f"trial {claim.number}: {trial.user_attrs.get(ownership.REASON, 'no reason is known')}")
            elif trial.state != TrialState.RUNNING:
                self.reasons = []
        for line in failed:
            log.warning("%s", line)
        self.reasons += failed
        if batch and len(failed) / len(batch) > self.sweep.settings.max_failure_rate:
            raise RunFailed(f"{len(failed)} of {len(batch)} trials of a batch failed; {failed[-1]}")
        if len(self.reasons) >= self.sweep.settings.max_failures_in_a_row:
            raise RunFailed(self._failures_in_a_row())

    def _failures_in_a_row(self) -> str:
        states = [trial.state for trial in self.sweep.get_trials()]
        none = "" if TrialState.COMPLETE in states else "; no trial is complete"
        last = f"The last was {self.reasons[-1]}. When it is fixed, repeat the command to continue"
        return f"{len(self.reasons)} trials in a row failed{none}. {last}"


def job_overrides(sweep: Sweep, claim: Claim) -> list[str]:
    """The overrides of a trial's job: those of its run, its directory, and which trial it is."""
    identity = Identity(
        url=sweep.store.url,
        study=sweep.store.name,
        heartbeat=sweep.settings.heartbeat,
        grace=sweep.settings.grace,
        number=claim.number,
        token=claim.token,
        pruner=sweep.pruner,
        pruning_starts=sweep.settings.pruning_starts,
        objectives=sweep.goal.objectives,
        constraints=sweep.goal.constraints,
        seeds=sweep.settings.seeds,
    )
    origin: dict[str, Any] = {
        "kind": "trial",
        "name": f"trial {claim.number}: {claim.title}",
        "parent": str(sweep.directory.resolve()),
        "overrides": list(claim.overrides),
    }
    brief = Brief(words=origin["name"], origin=origin, trial=identity)
    return [*sweep.search_overrides, *claim.overrides, f"++hydra.sweep.subdir={claim.number}", brief.override()]


def _without_number(override: str) -> str:
    """The key alone where the value is a number, else the whole override."""
    key, _, value = override.partition("=")
    try:
        float(value)
    except ValueError:
        return override
    return key
