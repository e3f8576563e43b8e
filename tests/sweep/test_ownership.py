"""Ownership of trials: dead processes are noticed, live ones are not, and a new token ends a claim."""

import subprocess
import sys
import warnings

import pytest
from optuna.trial import TrialState

from sota_exp.runs.lock import is_process_alive
from sota_exp.sweep import ownership
from sota_exp.sweep.storage import StudyStorage, resolve_storage_url


@pytest.fixture
def study(tmp_path):
    store = StudyStorage(url=resolve_storage_url(None, tmp_path), name="s", heartbeat=1, grace=2)
    yield store.study(["maximize"])
    store.storage.engine.dispose()


def ask(study):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return study.ask()


def numbers(trials):
    return [trial.number for trial in trials]


def test_a_trial_without_an_owner_is_abandoned_and_ours_is_not(study):
    first, second = ask(study), ask(study)
    token = ownership.become_owner(second)
    assert numbers(ownership.find_abandoned_trials(study, {token})) == [first.number]


def test_a_trial_that_this_process_never_heard_it_has_is_abandoned(study):
    first, second = ask(study), ask(study)
    ownership.become_owner(first)
    token = ownership.become_owner(second)
    assert numbers(ownership.find_abandoned_trials(study, {token})) == [first.number]


def test_a_process_that_never_heard_of_its_trial_was_not_killed(study):
    ownership.become_owner(ask(study))
    assert ownership.count_kills_without_progress(study.trials[0]) == 0


def test_a_dead_owner_on_this_machine_is_seen_at_once(study):
    trial = ask(study)
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    import psutil

    facts = ownership.build_owner() | {"pid": process.pid, "born": psutil.Process(process.pid).create_time()}
    trial.set_user_attr(ownership.OWNER, facts)
    assert ownership.find_abandoned_trials(study) == []
    process.communicate(b"\n")
    assert numbers(ownership.find_abandoned_trials(study)) == [trial.number]


def test_a_process_number_that_was_given_again_is_another_process():
    facts = ownership.build_owner()
    assert is_process_alive(facts)
    assert not is_process_alive(facts | {"born": facts["born"] - 100})


def test_elsewhere_the_heartbeat_says_it(study, monkeypatch):
    trial = ask(study)
    study._storage.record_heartbeat(trial._trial_id)
    trial.set_user_attr(ownership.OWNER, ownership.build_owner() | {"host": "elsewhere"})
    assert ownership.find_abandoned_trials(study) == []
    monkeypatch.setattr(type(study._storage), "_get_stale_trial_ids", lambda self, study_id: [trial._trial_id])
    assert numbers(ownership.find_abandoned_trials(study)) == [trial.number]


def test_only_its_owner_lets_a_trial_go(study):
    trial = ask(study)
    token = ownership.become_owner(trial)
    ownership.release_trial(study, trial.number, "another")
    assert ownership.find_abandoned_trials(study, {token}) == []
    ownership.release_trial(study, trial.number, token)
    assert numbers(ownership.find_abandoned_trials(study)) == [trial.number]


def test_a_failure_keeps_its_reason_and_ends_nothing_twice(study):
    trial = ask(study)
    ownership.fail_trial(study, study.trials[0], "out of memory")
    study.tell(trial.number, 1.0, skip_if_finished=True)
    assert study.trials[0].state.name == "FAIL" and study.trials[0].user_attrs["reason"] == "out of memory"


def test_a_trial_that_another_ends_in_the_same_moment_keeps_that_end(study, monkeypatch):
    trial = ask(study)
    write = study._storage.set_trial_state_values

    def second(trial_id, state, values=None):
        write(trial_id, TrialState.COMPLETE, [1.0])
        return write(trial_id, state=state, values=values)

    monkeypatch.setattr(study._storage, "set_trial_state_values", second)
    ownership.end_trial(study, trial.number, [2.0])
    assert study.trials[0].value == 1.0


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        (["killed"] * 3, 3),
        (["let go"] * 5, 0),
        (["killed", "let go", "killed"], 2),
        (["killed", "killed", "came further", "killed"], 2),
    ],
    ids=["killed", "let go", "both", "came further"],
)
def test_only_kills_without_progress_are_counted(study, ends, expected):
    trial, step = ask(study), 0
    for end in ends:
        ownership.store_kills(trial, ownership.count_kills_without_progress(study.trials[0]))
        facts = {**ownership.build_owner(), "born": 0.0}  # a process that has ended
        trial.set_user_attr(ownership.OWNER, facts)
        if end == "came further":
            trial.report(0.5, step)
            step += 1
        if end == "let go":
            ownership.release_trial(study, 0, facts["token"])
    assert ownership.count_kills_without_progress(study.trials[0]) == expected
