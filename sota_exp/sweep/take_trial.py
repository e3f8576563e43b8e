"""Choose the next trials for this process and become their owner.

One process at a time does so (`StudyStorage.lock`). An abandoned trial is taken before a new one is created. The
sampler is seeded by the number of the trial, so that a repeated command draws what an uninterrupted one draws.
"""

import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

import optuna
from optuna.trial import Trial, TrialState

from sota_exp.report.sweep.tables import format_parameter
from sota_exp.sweep import ownership
from sota_exp.sweep.sampler import is_grid, make_sampler
from sota_exp.sweep.start_points import DEFAULT_ATTRIBUTE
from sota_exp.sweep.storage import retry_while_disconnected
from sota_exp.sweep.sweep import Sweep

#: Attribute of a trial: the values of its searched keys.
KNOBS_ATTRIBUTE = "knobs"

#: Trials in these states count towards `n_trials`; in a grid those that failed too, whose points are not tried again.
COUNTED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)


@dataclass(frozen=True, kw_only=True)
class ClaimedTrial:
    """A trial that this process owns and has to run; is_resumed: another process, or this one, lost it."""

    number: int
    trial_id: int
    token: str
    title: str
    overrides: tuple[str, ...]
    is_resumed: bool = False


def claim_batch(sweep: Sweep) -> list[ClaimedTrial]:
    """Up to `n_jobs` trials; none where all that are missing from the total run in other processes.

    No later batch begins before an interrupted one is done: a sampler that learns would know of other trials.
    """
    batch: list[ClaimedTrial] = []
    while len(batch) < sweep.settings.n_jobs:
        claim = retry_while_disconnected(functools.partial(_claim, sweep, batch))
        if claim is None:
            break
        batch.append(claim)
    return batch


def _claim(sweep: Sweep, batch: list[ClaimedTrial]) -> ClaimedTrial | None:
    """The next trial of a batch that has begun."""
    with sweep.store.lock() as check:
        study = sweep.study
        abandoned = ownership.find_abandoned_trials(study, {each.token for each in batch})
        trials = study.get_trials(deepcopy=False)
        counted = (*COUNTED, TrialState.FAIL) if is_grid(sweep.sampler) else COUNTED
        num_missing = sweep.n_trials - sum(trial.state in counted for trial in trials) + len(abandoned)
        for frozen in abandoned:
            num_kills = ownership.count_kills_without_progress(frozen)
            if num_kills > sweep.settings.retries:
                ownership.fail_trial(study, frozen, f"its process was killed {num_kills} times without progress")
            elif num_missing > 0:
                claim = _draw_and_own(sweep, Trial(study, frozen._trial_id), num_kills, check)
                return replace(claim, is_resumed=True)
            else:
                ownership.fail_trial(study, frozen, "its process was killed, and n_trials is reached without it")
        size = sweep.settings.n_jobs
        if num_missing <= 0 or any(each.is_resumed and each.number // size != len(trials) // size for each in batch):
            return None
        study.sampler = make_sampler(sweep.sampler, sweep.space, len(trials))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Heartbeat of storage")  # `send_heartbeats` sends them, not Optuna.
            return _draw_and_own(sweep, study.ask(), 0, check)


def _draw_and_own(sweep: Sweep, trial: Trial, num_kills: int, check: Callable[[], None]) -> ClaimedTrial:
    """Draw the values that are not drawn yet, and take the trial: first a heartbeat, then the owner.

    check: raises where the lock of the study is lost.
    """
    sweep.store.storage.record_heartbeat(trial._trial_id)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        knobs = sweep.space.draw_values(trial, sweep.choices)
        before = set(trial.params)
        sweep.custom_search_space(sweep.config, trial)
        more = {name: value for name, value in trial.params.items() if name not in before}
    if more and trial.user_attrs.get(DEFAULT_ATTRIBUTE):
        trial.set_user_attr(DEFAULT_ATTRIBUTE, False)  # custom_search_space drew values that the recipe fixes.
    knobs |= more
    check()
    ownership.store_kills(trial, num_kills)
    token = ownership.become_owner(trial)
    check()
    # Only the owner writes them: another process may have drawn other values.
    trial.set_user_attr(KNOBS_ATTRIBUTE, knobs)
    return ClaimedTrial(
        number=trial.number,
        trial_id=trial._trial_id,
        token=token,
        title=" ".join(f"{name.rpartition('.')[2]}={format_parameter(value)}" for name, value in knobs.items()),
        overrides=tuple(sweep.space.overrides(knobs)),
    )
