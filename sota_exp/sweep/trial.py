"""The trial of the current job: report values, check pruning, and end the trial in the study.

The job reads which trial it runs from an environment variable (`hydra.job.env_set`). Every launcher passes it on,
every process of the job inherits it, and it is not among the overrides of the run.
"""

import base64
import contextlib
import functools
import json
import logging
import os
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import optuna
from optuna.pruners import BasePruner
from optuna.storages._heartbeat import BaseHeartbeat
from optuna.trial import FrozenTrial, Trial, TrialState

from sota_exp.config.values import format_suggestion
from sota_exp.errors import ConfigError, RunFailed
from sota_exp.sweep.ownership import REASON, become_owner, end_trial, fail_trial, is_held, release_trial
from sota_exp.sweep.storage import CONNECTION_ERRORS, StudyStorage, format_storage_error, retry_while_disconnected

log = logging.getLogger(__name__)

BRIEF_VARIABLE = "SOTA_EXP_TRIAL"

#: Seconds for which training waits until the study has the value of an epoch and its pruner has decided.
ANSWER_SECONDS = 5.0


class NotMeasured(RunFailed):
    """A trial has no value of an objective, and no other trial will have one."""


@dataclass(frozen=True, kw_only=True)
class TrialIdentity:
    """Which trial a job runs, and how it is pruned and valued. Plain values, because they are sent as JSON.

    pruning_starts: fraction of the epochs. constraints: {cost: its largest legal value}.
    """

    store: StudyStorage
    number: int
    token: str
    pruner: dict[str, Any]
    pruning_starts: float
    objectives: list[str]
    constraints: dict[str, float] = field(default_factory=dict)
    seeds: int = 1


@dataclass(frozen=True, kw_only=True)
class JobBrief:
    """What a job of a sweep receives: its origin for MLflow with its title as `name`, and its trial if it is one."""

    origin: dict[str, Any]
    trial: TrialIdentity | None = None

    @classmethod
    def from_environment(cls, variables: Mapping[str, str]) -> "JobBrief | None":
        """The brief of the job that this process runs; None outside a sweep."""
        text = variables.get(BRIEF_VARIABLE)
        if not text:
            return None
        values = json.loads(base64.urlsafe_b64decode(text))
        trial = values["trial"]
        identity = TrialIdentity(**trial | {"store": StudyStorage(**trial["store"])}) if trial else None
        return cls(origin=values["origin"], trial=identity)

    def to_override(self) -> str:
        """The override that sends the brief to a job; Base64 needs no quoting and is never interpolated."""
        text = base64.urlsafe_b64encode(json.dumps(asdict(self)).encode()).decode()
        return f"++hydra.job.env_set.{BRIEF_VARIABLE}='{text}'"


def build_pruner(node: Mapping[str, Any]) -> BasePruner:
    """Create an Optuna pruner from `{_target_: optuna.pruners.Name, …}`.

    Raises:
        ConfigError: Optuna has no such pruner, or refuses the values.
    """
    target = str(node.get("_target_", ""))
    module, _, name = target.rpartition(".")
    legal = [each for each in optuna.pruners.__all__ if each.endswith("Pruner") and each != "BasePruner"]
    if module != "optuna.pruners" or name not in legal:
        near = format_suggestion(name, legal)
        raise ConfigError(
            f"hydra.sweeper.pruner._target_={target}: not a pruner of Optuna; legal: {', '.join(legal)}.{near}"
        )
    values = {key: value for key, value in node.items() if key != "_target_"}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            made: BasePruner = vars(optuna.pruners)[name](**values)
            return made
    except (TypeError, ValueError) as error:
        raise ConfigError(f"hydra.sweeper.pruner: {error}") from error


@dataclass(frozen=True, kw_only=True)
class JobTrial:
    """The trial of this job in the study. values: step → value, what is to be reported. asking: held while it is."""

    identity: TrialIdentity
    study: optuna.Study
    trial: Trial
    values: dict[int, float] = field(default_factory=dict)
    asking: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def open(cls, identity: TrialIdentity) -> "JobTrial":
        """Connect, and store this process as the owner, if the token is still valid."""
        store = _keep_open(replace(identity.store, is_there=True), os.getpid())  # The sweep has made and checked it.

        def connect() -> JobTrial:
            study = store.study(pruner=build_pruner(identity.pruner))
            number = study._storage.get_trial_id_from_study_id_trial_number(study._study_id, identity.number)
            own = cls(identity=identity, study=study, trial=Trial(study, number))
            if own.is_owned:
                become_owner(own.trial, identity.token)
            return own

        return retry_while_disconnected(connect)

    @property
    def frozen(self) -> FrozenTrial:
        """The trial as the storage has it now."""
        return self.study._storage.get_trial(self.trial._trial_id)

    @property
    def is_owned(self) -> bool:
        """Whether the trial still runs and still has our token."""
        return is_held(self.frozen, self.identity.token)

    def report(self) -> None:
        """Report the values that the study does not have."""

        def send() -> None:
            known = self.frozen.intermediate_values
            for step, value in self.values.copy().items():
                if step not in known:
                    self.trial.report(value, step)

        retry_while_disconnected(send)

    def ask(self, value: float, step: int, may_stop: bool) -> bool:
        """Report the value of a step, and return whether the study's pruner stops the trial, where it may.

        A storage that does not answer keeps no training waiting for longer than `ANSWER_SECONDS`: the trial is not
        stopped, and the value is sent with that of a later step, or when the trial ends.
        """
        self.values[step] = value
        if self.asking.locked():  # An earlier step waits for its answer.
            return False
        answer: Future[bool] = Future()
        threading.Thread(target=self._answer, args=(answer, may_stop), daemon=True).start()
        try:
            return answer.result(ANSWER_SECONDS)
        except TimeoutError:
            log.warning("the sweep's storage does not answer; training goes on, step %d is reported later", step)
            return False

    def _answer(self, answer: Future[bool], may_stop: bool) -> None:
        try:
            with self.asking:
                self.report()
                stops = may_stop and retry_while_disconnected(self.trial.should_prune)
            answer.set_result(stops)
        except RunFailed as error:
            log.warning("not everything could be reported: %s", error)
            answer.set_result(False)
        except BaseException as error:
            answer.set_exception(error)

    def note(self, **facts: Any) -> None:
        """Store attributes of the trial."""
        for key, value in facts.items():
            retry_while_disconnected(functools.partial(self.trial.set_user_attr, key, value))

    def complete(self, values: list[float], costs: Mapping[str, float]) -> None:
        """End the trial with its values; a violated constraint makes it infeasible, not failed."""

        def send() -> None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # About constraints set before a connection was lost.
                for key, most in self.identity.constraints.items():
                    self.trial.set_constraint(key, costs[key] - most)
            end_trial(self.study, self.identity.number, values)

        self._retry_if_owned(send)

    def prune(self, reason: str) -> None:
        """End the trial as pruned."""
        self.note(**{REASON: reason})
        self._retry_if_owned(lambda: end_trial(self.study, self.identity.number, state=TrialState.PRUNED))

    def fail(self, reason: str) -> None:
        """End the trial as failed; the sweep continues."""
        self._retry_if_owned(lambda: fail_trial(self.study, self.frozen, reason))

    def _retry_if_owned(self, call: Callable[[], None]) -> None:
        """End the trial by a call, after its last reports."""

        def end() -> None:
            if self.is_owned:
                self.report()
                call()

        with self.asking:
            retry_while_disconnected(end)

    def release(self) -> None:
        """Leave the trial running without an owner, so that another process can take it."""
        retry_while_disconnected(lambda: release_trial(self.study, self.identity.number, self.identity.token))


@functools.lru_cache(maxsize=1)
def _keep_open(store: StudyStorage, process: int) -> StudyStorage:
    """The same object for all jobs of a process: its connection has a thousand trials, half a second to read again."""
    return store


@contextlib.contextmanager
def send_heartbeats(study: optuna.Study, trial_ids: list[int]) -> Iterator[None]:
    """Context in which a thread sends heartbeats for the trials."""
    ended = threading.Event()
    thread = threading.Thread(target=_send_heartbeats, args=(study, trial_ids, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _send_heartbeats(study: optuna.Study, trial_ids: list[int], ended: threading.Event) -> None:
    """Send heartbeats for the trials until `ended` is set; a lost connection is logged and retried."""
    storage = study._storage
    assert isinstance(storage, BaseHeartbeat)
    while True:
        try:
            for trial_id in trial_ids:
                storage.record_heartbeat(trial_id)
        except CONNECTION_ERRORS as error:
            log.warning("no heartbeat could be sent: %s", format_storage_error(error))
        if ended.wait(storage.get_heartbeat_interval()):
            return


def run_seeds(own: JobTrial, run_seed: Callable[[int], float], num_seeds: int) -> list[float]:
    """Run seed after seed, the seeds being the steps of the pruner; returns the values of the seeds that were run.

    A trial that is pruned early is worth their mean instead of having no value, as WilcoxonPruner requires.
    """
    values: list[float] = []
    for index in range(num_seeds):
        values.append(run_seed(index))
        if own.ask(values[-1], index, may_stop=index + 1 < num_seeds):
            break
    return values
