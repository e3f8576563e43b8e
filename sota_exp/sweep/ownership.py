"""Which process owns a trial, and which running trials are abandoned.

A running trial stores its owner: host, process and a token that is new with every owner. A dead process is noticed at
once on its own machine, and by its missing heartbeat on others. An abandoned trial is resumed under its own number,
in its own directory, from its own checkpoint: so no trial is lost, and none is counted twice.
"""

import contextlib
import os
import socket
import uuid
from collections.abc import Collection
from typing import Any

import optuna
import psutil
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages._heartbeat import BaseHeartbeat
from optuna.trial import FrozenTrial, Trial, TrialState

from sota_exp.runs.lock import is_process_alive

OWNER, REASON = "owner", "reason"

#: How often in a row the trial's process was killed without progress, and the last reported step at that time.
NUM_KILLS, LAST_STEP = "taken_up", "came_to"


def get_host_id() -> str:
    """Host name and PID namespace: process ids can be compared only where both are equal."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return f"{socket.gethostname()} {namespace}".strip()


def build_owner(token: str | None = None) -> dict[str, Any]:
    """This process as the owner of a trial."""
    process = psutil.Process()
    return {
        "token": token or uuid.uuid4().hex,
        "host": get_host_id(),
        "pid": process.pid,
        "born": process.create_time(),
    }


def find_abandoned_trials(study: optuna.Study, held: Collection[str] = ()) -> list[FrozenTrial]:
    """Running trials without an owner, with a dead process, or on another host without heartbeats.

    Call it under the lock of the study. held: the tokens of the trials in the current batch. Any other trial with this
    process as its owner is abandoned too: the connection was lost after the storage had stored the owner, so this
    process never received the trial.
    """
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    storage = study._storage
    assert isinstance(storage, BaseHeartbeat)
    stale = set(storage._get_stale_trial_ids(study._study_id))
    return [trial for trial in running if _is_abandoned(trial, stale, held)]


def _is_abandoned(trial: FrozenTrial, stale: set[int], held: Collection[str]) -> bool:
    facts = trial.user_attrs.get(OWNER)
    if not facts:
        return True
    if facts["host"] != get_host_id():
        return trial._trial_id in stale
    return facts["token"] not in held if is_owner(facts) else not is_process_alive(facts)


def is_owner(facts: dict[str, Any]) -> bool:
    """Whether this process is the owner."""
    return bool(facts["host"] == get_host_id() and facts["pid"] == os.getpid() and is_process_alive(facts))


def become_owner(trial: Trial, token: str | None = None) -> str:
    """Make this process the owner; returns the token, a new one if none is given."""
    facts = build_owner(token)
    trial.set_user_attr(OWNER, facts)
    return str(facts["token"])


def count_kills_without_progress(trial: FrozenTrial) -> int:
    """How often an abandoned trial's process was killed since its last report.

    Not counted: a process that released the trial, and this process if it never received the
    trial (see `find_abandoned_trials`).
    """
    facts = trial.user_attrs.get(OWNER)
    was_killed = facts is not None and not is_owner(facts)
    if max(trial.intermediate_values, default=-1) > trial.user_attrs.get(LAST_STEP, -1):
        return int(was_killed)
    return int(trial.user_attrs.get(NUM_KILLS, 0)) + was_killed


def store_kills(trial: Trial, num_kills: int) -> None:
    """Store the number of kills without progress and the last reported step, before a process works on the trial."""
    came_to = max(trial.storage.get_trial(trial._trial_id).intermediate_values, default=-1)
    for name, value, default in ((NUM_KILLS, num_kills, 0), (LAST_STEP, came_to, -1)):
        if value != trial.user_attrs.get(name, default):
            trial.set_user_attr(name, value)


def is_held(trial: FrozenTrial, token: str) -> bool:
    """Whether the trial runs, and its owner is still the one with this token."""
    return trial.state == TrialState.RUNNING and (trial.user_attrs.get(OWNER) or {}).get("token") == token


def release_trial(study: optuna.Study, number: int, token: str) -> None:
    """Remove the owner of a running trial, unless it has another owner by now."""
    trial = study.get_trials(deepcopy=False)[number]
    if is_held(trial, token):
        study._storage.set_trial_user_attr(trial._trial_id, OWNER, None)


def fail_trial(study: optuna.Study, trial: FrozenTrial, reason: str) -> None:
    """End a trial as failed, with the reason."""
    with contextlib.suppress(UpdateFinishedTrialError):
        study._storage.set_trial_user_attr(trial._trial_id, REASON, reason)
    end_trial(study, trial.number, state=TrialState.FAIL)


def end_trial(
    study: optuna.Study, number: int, values: list[float] | None = None, state: TrialState | None = None
) -> None:
    """End a trial with values or a state, unless it has ended."""
    with contextlib.suppress(UpdateFinishedTrialError):  # It ended after Optuna had checked.
        study.tell(number, values, state=state, skip_if_finished=True)
