"""The loop of a sweep: take a batch of trials, run it, and repeat until the study holds `n_trials` trials.

Every copy of the command runs this loop on the same study.
"""

import time

from optuna.trial import TrialState

from sota_exp.sweep.launch import BatchLauncher
from sota_exp.sweep.sweep import Sweep
from sota_exp.sweep.sweep_json import is_feasible
from sota_exp.sweep.take_trial import claim_batch

#: Seconds between two looks at trials that other processes run.
LOOK_SECONDS = 1.0


def search(sweep: Sweep) -> str | None:
    """Run trials; returns why the sweep stopped before `n_trials`, or None."""
    launcher = BatchLauncher(sweep=sweep)
    while True:
        if reason := _find_reason_to_stop(sweep, launcher.num_launched):
            return reason
        if batch := claim_batch(sweep):
            launcher.launch(batch)
        elif not has_running_trials(sweep):
            return None
        else:
            time.sleep(LOOK_SECONDS)


def _find_reason_to_stop(sweep: Sweep, num_launched: int) -> str | None:
    timeout, patience = sweep.settings.timeout, sweep.settings.patience
    if timeout is not None and num_launched and time.monotonic() - sweep.started_at > timeout:
        return f"the time budget of {timeout:g} s is spent"
    if patience is not None and sweep.goal.is_single and _stagnates(sweep, patience):
        return f"no new best in {patience} trials"
    return None


def _stagnates(sweep: Sweep, patience: int) -> bool:
    """Whether none of the last `patience` trials is better than all before them."""
    ended = [trial for trial in sweep.get_trials() if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    sign = 1 if sweep.goal.directions[0] == "maximize" else -1
    values = [
        sign * trial.value
        if trial.state == TrialState.COMPLETE and trial.value is not None and is_feasible(trial)
        else float("-inf")
        for trial in ended
    ]
    return len(values) > patience and max(values[-patience:]) <= max(values[:-patience])


def has_running_trials(sweep: Sweep) -> bool:
    """Whether a trial runs in this or another process."""
    return any(trial.state == TrialState.RUNNING for trial in sweep.get_trials())
