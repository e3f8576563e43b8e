"""Who works on a trial, and which trials nobody works on any more.

A running trial carries its owner: host, process, and a token that changes hands with it. On the same machine a dead process is
seen at once, elsewhere by the heartbeat. A trial that lost its owner is taken up again under its own number, in its own
directory, from its own checkpoint: so none is lost, and none is counted twice.
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

OWNER, REASON = "owner", "reason"

#: How often in a row a trial's process was killed, and its last report when that was counted.
TAKEN_UP, CAME_TO = "taken_up", "came_to"


def here() -> str:
    """This machine, or this container of it: process numbers mean the same wherever it is equal."""
    try:
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        space = ""
    return f"{socket.gethostname()} {space}".strip()


def owner(token: str | None = None) -> dict[str, Any]:
    """This process as the owner of a trial; a new token unless it takes over another's."""
    process = psutil.Process()
    return {"token": token or uuid.uuid4().hex, "host": here(), "pid": process.pid, "born": process.create_time()}


def is_alive(facts: dict[str, Any]) -> bool:
    """Whether the owner's process runs; of an owner on this machine."""
    try:
        process = psutil.Process(facts["pid"])
        return process.status() != psutil.STATUS_ZOMBIE and abs(process.create_time() - facts["born"]) < 1
    except psutil.NoSuchProcess:
        return False


def abandoned(study: optuna.Study, held: Collection[str] = ()) -> list[FrozenTrial]:
    """Running trials that nobody works on: without an owner, its process gone, or without a sign of life. Call it alone.

    held: the tokens of the trials that this process has taken and not begun. Another of its own is one that it never heard that it
    has: the connection was lost when the storage had noted it.
    """
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    if not running:
        return []
    storage = study._storage
    assert isinstance(storage, BaseHeartbeat)
    stale = set(storage._get_stale_trial_ids(study._study_id))
    return [trial for trial in running if _is_abandoned(trial, stale, held)]


def _is_abandoned(trial: FrozenTrial, stale: set[int], held: Collection[str]) -> bool:
    facts = trial.user_attrs.get(OWNER)
    if not facts:
        return True
    if facts["host"] != here():
        return trial._trial_id in stale
    return facts["token"] not in held if is_own(facts) else not is_alive(facts)


def is_own(facts: dict[str, Any]) -> bool:
    """Whether this process is the owner."""
    return bool(facts["host"] == here() and facts["pid"] == os.getpid() and is_alive(facts))


def own(trial: Trial) -> str:
    """Make this process the owner; the token that says so."""
    facts = owner()
    trial.set_user_attr(OWNER, facts)
    return str(facts["token"])


def kills_without_progress(trial: FrozenTrial) -> int:
    """How often an abandoned trial's process was killed since its last report.

    A process that let it go was not killed, nor was this one, which never heard that it had it.
    """
    facts = trial.user_attrs.get(OWNER)
    was_killed = facts is not None and not is_own(facts)
    if max(trial.intermediate_values, default=-1) > trial.user_attrs.get(CAME_TO, -1):
        return int(was_killed)
    return int(trial.user_attrs.get(TAKEN_UP, 0)) + was_killed


def take_up(trial: Trial, num_kills: int) -> None:
    """Note, before a process works on a trial, how often that ended in a kill, and how far it has come."""
    came_to = max(trial.storage.get_trial(trial._trial_id).intermediate_values, default=-1)
    for name, value, usual in ((TAKEN_UP, num_kills, 0), (CAME_TO, came_to, -1)):
        if value != trial.user_attrs.get(name, usual):
            trial.set_user_attr(name, value)


def let_go(study: optuna.Study, number: int, token: str) -> None:
    """Leave a running trial for the next who asks, unless somebody else has it by now."""
    trial = study.get_trials(deepcopy=False)[number]
    if trial.state == TrialState.RUNNING and (trial.user_attrs.get(OWNER) or {}).get("token") == token:
        study._storage.set_trial_user_attr(trial._trial_id, OWNER, None)


def fail(study: optuna.Study, trial: FrozenTrial, reason: str) -> None:
    """End a trial as failed, with its reason."""
    with contextlib.suppress(UpdateFinishedTrialError):
        study._storage.set_trial_user_attr(trial._trial_id, REASON, reason)
    end(study, trial.number, state=TrialState.FAIL)


def end(study: optuna.Study, number: int, values: list[float] | None = None, state: TrialState | None = None) -> None:
    """End a trial with its values or in a state, unless it has ended."""
    with contextlib.suppress(UpdateFinishedTrialError):  # It ended after Optuna looked.
        study.tell(number, values, state=state, skip_if_finished=True)
