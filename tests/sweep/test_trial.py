"""The trial of a job: its brief, its reports, and how it ends."""

import contextlib
import json
import sqlite3
import time
import warnings
from dataclasses import replace
from unittest.mock import Mock

import optuna
import pytest
from optuna.storages import RDBStorage

from sota_exp.errors import ConfigError, Interrupted
from sota_exp.runs.digests import write_checked_text
from sota_exp.sweep import job, ownership
from sota_exp.sweep import trial as trial_module
from sota_exp.sweep.job import StudyPruner
from sota_exp.sweep.storage import StudyStorage, resolve_storage_url
from sota_exp.sweep.trial import (
    BRIEF_VARIABLE,
    JobBrief,
    JobTrial,
    TrialIdentity,
    build_pruner,
    run_seeds,
    send_heartbeats,
)

MEDIAN = {"_target_": "optuna.pruners.MedianPruner", "n_startup_trials": 0, "n_warmup_steps": 0}


@pytest.fixture
def identity(tmp_path):
    """A trial that is created and owned, as the sweeper does it."""
    made = TrialIdentity(
        store=StudyStorage(url=resolve_storage_url(None, tmp_path), name="s", heartbeat=1, grace=5),
        number=0,
        token="",
        pruner=MEDIAN,
        pruning_starts=0.5,
        objectives=["val/accuracy"],
        constraints={"cost/parameters": 100.0},
    )
    study = made.store.study(["maximize"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        token = ownership.become_owner(study.ask())
    return replace(made, token=token)


def test_a_brief_travels_as_a_job_variable_whatever_is_in_it(identity):
    words = "lr=0.1 ${seed} 'quoted' \"twice\" \\ ü = {}"
    brief = JobBrief(origin={"name": words, "overrides": [words]}, trial=identity)
    name, _, text = brief.to_override().partition("=")
    assert name == f"++hydra.job.env_set.{BRIEF_VARIABLE}"
    assert JobBrief.from_environment({BRIEF_VARIABLE: text.strip("'")}) == brief
    assert JobBrief.from_environment({}) is None


def test_the_jobs_of_a_process_read_each_ended_trial_once(identity, monkeypatch):
    """A job that opened the study anew read all its trials: with a thousand in it that took longer than a small training."""
    first = JobTrial.open(identity)
    for _ in range(3):
        first.study.add_trial(optuna.trial.create_trial(value=0.5))
    assert len(first.study.get_trials(deepcopy=False)) == 4
    built, build = [], RDBStorage._build_frozen_trial_from_trial_model
    monkeypatch.setattr(
        RDBStorage,
        "_build_frozen_trial_from_trial_model",
        lambda self, trial: [built.append(trial.number), build(self, trial)][1],
    )
    second = JobTrial.open(identity)
    assert len(second.study.get_trials(deepcopy=False)) == 4 and {*built} == {identity.number}
    assert second.is_owned and second.trial.number == identity.number


@pytest.mark.parametrize("cost, feasible", [(90.0, True), (100.0, True), (101.0, False)])
def test_it_ends_with_its_value_and_above_its_cap_it_is_infeasible(identity, cost, feasible):
    own = JobTrial.open(identity)
    own.complete([0.7], {"cost/parameters": cost})
    own.complete([0.9], {"cost/parameters": cost})  # ended twice, it counts once
    assert own.frozen.value == 0.7
    assert all(value <= 0 for value in own.frozen.constraints.values()) is feasible


def test_it_reports_a_step_once(identity, recwarn):
    own = JobTrial.open(identity)
    assert not own.ask(0.5, 0, may_stop=True)
    assert not own.ask(0.6, 0, may_stop=True)
    assert own.frozen.intermediate_values == {0: 0.5}


def test_training_goes_on_where_the_study_is_locked_and_all_is_reported_later(identity, monkeypatch):
    own = JobTrial.open(identity)
    holder = sqlite3.connect(identity.store.url.removeprefix("sqlite:///"), isolation_level=None)
    assert not own.ask(0.1, 1, may_stop=True)
    monkeypatch.setattr(trial_module, "ANSWER_SECONDS", 0.1)
    holder.execute("BEGIN EXCLUSIVE")
    began = time.monotonic()
    for step in (2, 3, 4):
        assert not own.ask(step / 10, step, may_stop=True)
    seconds = time.monotonic() - began
    holder.close()
    own.complete([0.4], {"cost/parameters": 1.0})
    assert own.frozen.intermediate_values == {1: 0.1, 2: 0.2, 3: 0.3, 4: 0.4} and own.frozen.value == 0.4
    assert 0.1 <= seconds < 1  # It is waited for once.


def test_an_epoch_that_a_killed_process_did_not_report_is_reported(identity, tmp_path):
    own = JobTrial.open(identity)
    lines = [{"epoch": epoch, "progress": epoch / 9, "val/accuracy": epoch / 10} for epoch in (1, 2, 3)]
    write_checked_text(tmp_path / "metrics.jsonl", "".join(f"{json.dumps(line)}\n" for line in lines))
    StudyPruner(own=own, metric="val/accuracy", directory=tmp_path).verdict(lines[-1])
    assert own.frozen.intermediate_values == {1: 0.1, 2: 0.2, 3: 0.3}


def test_what_another_has_taken_up_is_no_longer_ours(identity):
    own = JobTrial.open(identity)
    ownership.become_owner(own.trial)
    assert not own.is_owned
    own.complete([0.7], {"cost/parameters": 1.0})
    own.prune("x")
    own.fail("y")
    assert own.frozen.state.name == "RUNNING"


@pytest.mark.parametrize("end, state", [("prune", "PRUNED"), ("fail", "FAIL")])
def test_it_ends_with_its_reason(identity, end, state):
    own = JobTrial.open(identity)
    vars(JobTrial)[end](own, "because")
    assert (own.frozen.state.name, own.frozen.user_attrs["reason"]) == (state, "because")


def test_a_trial_that_beats_has_a_heartbeat_from_the_first_moment(identity):
    own = JobTrial.open(identity)
    with send_heartbeats(own.study, [own.trial._trial_id]):
        pass
    with identity.store.storage.engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT count(*) FROM trial_heartbeats").scalar()
    assert rows == 1


@pytest.mark.parametrize("values, num", [([0.1] * 8, 4), ([0.9] * 8, 8)])
def test_seeds_are_compared_with_the_same_seeds(tmp_path, values, num):
    """WilcoxonPruner prunes a trial that is worse on every seed, at p = 0.1 after 4 seeds at the earliest."""
    study = optuna.create_study(
        direction="maximize", pruner=build_pruner({"_target_": "optuna.pruners.WilcoxonPruner", "p_threshold": 0.1})
    )
    best = optuna.trial.create_trial(value=0.5, intermediate_values={seed: 0.5 + 0.01 * seed for seed in range(8)})
    study.add_trial(best)

    class Own:
        trial = study.ask()

        def ask(self, value, step, may_stop):
            self.trial.report(value, step)
            return may_stop and self.trial.should_prune()

    found = run_seeds(Own(), lambda index: values[index] + 0.001 * index, 8)
    assert found == [values[index] + 0.001 * index for index in range(num)]


@pytest.mark.parametrize(
    "node, says",
    [
        ({"_target_": "optuna.pruners.MedianPrune"}, "Did you mean MedianPruner"),
        ({"_target_": "os.system"}, "not a pruner of Optuna"),
        ({"_target_": "optuna.pruners.MedianPruner", "steps": 1}, "steps"),
        ({"_target_": "optuna.pruners.MedianPruner", "n_startup_trials": -1}, "hydra.sweeper.pruner"),
    ],
)
def test_a_pruner_that_is_none_is_refused(node, says):
    with pytest.raises(ConfigError, match=says):
        build_pruner(node)


@pytest.mark.parametrize("is_followed", [False, True])
def test_an_interrupted_trial_is_released_unless_a_launcher_may_start_its_job_again(monkeypatch, is_followed):
    """SLURM queues a preempted job again, which must find its trial as it left it."""
    own = Mock(is_owned=True)
    monkeypatch.setattr(job.JobTrial, "open", lambda identity: own)
    monkeypatch.setattr(job, "is_followed_by_another_process", lambda: is_followed)
    monkeypatch.setattr(job, "send_heartbeats", lambda *_: contextlib.nullcontext())
    monkeypatch.setattr(job, "run_or_write_failure", Mock(side_effect=Interrupted(15)))
    with pytest.raises(Interrupted):
        job.run_trial(Mock(), Mock())
    assert own.release.called is not is_followed
