"""One job of a sweep from the inside: the run or runs of a trial, and how the trial ends by them."""

import contextlib
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.markup import escape

from sota_exp.config import compose
from sota_exp.config.build import build
from sota_exp.config.configuration import Configuration
from sota_exp.config.rules import check
from sota_exp.errors import ConfigError, Interrupted, RunFailed, in_a_line
from sota_exp.report.terminal import console, shown
from sota_exp.runs.files import RunFiles
from sota_exp.runs.sent_position import ORIGIN_VARIABLE
from sota_exp.stages.tracking import Tracking
from sota_exp.sweep.console import QuietListener
from sota_exp.sweep.settings import COSTS
from sota_exp.sweep.trial import Brief, Identity, OwnTrial, beating, mean_over_seeds
from sota_exp.tracking.listeners import showing
from sota_exp.training.listener import NoReferee, Referee, Request
from sota_exp.training.run import run

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Judge(Referee):
    """Reports each epoch to the study, and gives the run up when the study's pruner does."""

    own: OwnTrial
    metric: str

    def verdict(self, epoch: dict[str, Any]) -> str | None:
        identity, value = self.own.identity, of_epoch(epoch, self.metric)
        try:
            self.own.report(value, int(epoch["epoch"]))
            if not identity.pruning_starts <= epoch["progress"] < 1 or not self.own.should_stop():
                return None
        except RunFailed as error:  # A run that trains is worth more than a report.
            log.warning("epoch %d was not reported: %s", epoch["epoch"] + 1, error)
            return None
        name = str(identity.pruner["_target_"]).rpartition(".")[2]
        return f"{name} gave it up after epoch {epoch['epoch'] + 1}, with {self.metric} {value:.4f}"


def of_epoch(epoch: dict[str, Any], name: str) -> float:
    """An epoch's value. Raises `RunFailed` where it has none of that name."""
    if name not in epoch:
        known = ", ".join(key for key in epoch if key.startswith("val/"))
        raise RunFailed(f"hydra.sweeper.objective={name} is not among what an epoch measures: {known}")
    return float(epoch[name])


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a job runs: a configuration with a seed to be changed, in a place."""

    configuration: Configuration
    directory: Path
    brief: Brief

    def run_seed(self, index: int, of: int, referee: Referee) -> dict[str, Any]:
        """The result of one run, with the index-th seed after the configuration's own."""
        seed = self.configuration.values["seed"] + index
        directory = self.directory / f"seed{seed}" if of > 1 else self.directory
        before = RunFiles(directory=directory).result()
        if before is not None and before["status"] == "pruned":
            return before  # Its process was killed between the result and the study's word.
        words = self.brief.words + (f", seed {seed}" if of > 1 else "")
        request = Request(configuration=self.configuration.with_values(seed=seed), directory=shown(directory))
        with as_shown(self.brief.origin | {"name": words}):
            return run(request, showing(QuietListener(words), say=log.debug), referee)


def run_job(config: DictConfig, brief: Brief) -> float | None:
    """A trial, which ends itself in the study; or a run of the confirmation, whose failure is its own."""
    job = Job(configuration=compose.configuration_of(config), directory=compose.output_directory(), brief=brief)
    if brief.trial is not None:
        run_trial(job, brief.trial)
        return None
    check(job.configuration)
    result = run_or_leave_word(job, lambda: job.run_seed(0, 1, NoReferee()))
    return float(result["metrics"]["val/accuracy"])


def run_trial(job: Job, identity: Identity) -> None:
    """Run, and end the trial: complete, pruned, failed with a reason, or left for the next command."""
    own = OwnTrial.open(identity)
    if not own.is_ours:
        log.warning("trial %d is in other hands", identity.number)
        return
    with beating(own.study, [own.trial._trial_id]):
        try:
            run_or_leave_word(job, lambda: _run_trial(job, own))
        except (ConfigError, RunFailed) as error:
            own.fail(str(error))
        except Interrupted:
            own.let_go()
            raise
        except Exception as error:
            log.exception("trial %d met a mistake of the program", identity.number)
            own.fail(in_a_line(error))
    console().print(last_word(own), soft_wrap=True)


def _run_trial(job: Job, own: OwnTrial) -> dict[str, Any]:
    identity = own.identity
    for warning in check(job.configuration):
        log.debug(warning)
    if identity.seeds == 1:
        judge = (
            Judge(own=own, metric=identity.objectives[0])
            if len(identity.objectives) == 1 and identity.objectives[0].startswith("val/")
            else NoReferee()
        )
        result = job.run_seed(0, 1, judge)
        own.note(**facts([result]))
        if result["status"] == "pruned":
            own.prune(result["reason"])
        else:
            own.complete([measure(result, name) for name in identity.objectives], costs(result))
        return result
    results: list[dict[str, Any]] = []

    def run_seed(index: int) -> float:
        results.append(job.run_seed(index, identity.seeds, NoReferee()))
        return measure(results[-1], identity.objectives[0])

    mean, num = mean_over_seeds(own, run_seed, identity.seeds)
    own.note(**facts(results), seeds=num)
    others = [sum(measure(result, name) for result in results) / num for name in identity.objectives[1:]]
    own.complete([mean, *others], costs(results[0]))
    return results[-1]


def measure(result: dict[str, Any], name: str) -> float:
    """An objective of a run: of val, or a cost.

    Raises:
        RunFailed: the run has no such number.
    """
    value = costs(result).get(name) if name.startswith("cost/") else result["metrics"].get(name)
    if value is None:
        known = [*(key for key in result["metrics"] if key.startswith("val/")), *costs(result)]
        raise RunFailed(f"hydra.sweeper.objective={name} is not among what a run measures: {', '.join(known)}")
    return float(value)


def costs(result: dict[str, Any]) -> dict[str, float]:
    """`cost/…` of a run, as MLflow shows them."""
    found = {"train_seconds": result["seconds"].get("train"), **result}
    return {f"cost/{name}": float(found[name]) for name in COSTS if found.get(name) is not None}


def facts(results: list[dict[str, Any]]) -> dict[str, Any]:
    """What the study keeps of a trial's runs, beside their values; nothing of test."""
    return {
        "seconds": sum(sum(result["seconds"].values()) for result in results),
        "steps": sum(result["steps"] for result in results),
        "status": results[-1]["status"],
        "costs": costs(results[-1]),
        "metrics": {key: value for key, value in results[-1]["metrics"].items() if key.startswith("val/")},
        "inference_size": (results[-1].get("resolution") or {}).get("chosen", {}).get("size"),
    }


def run_or_leave_word(job: Job, call: Any) -> dict[str, Any]:
    """The call's result; of a run that failed before it wrote anything, its reason is written, and shown in MLflow."""
    try:
        result: dict[str, Any] = call()
        return result
    except (ConfigError, RunFailed) as error:
        files = RunFiles(directory=job.directory)
        if files.result() is None:
            leave_word(job, files, str(error))
        raise


def leave_word(job: Job, files: RunFiles, reason: str) -> None:
    """`config.yaml`, `start.json` and `result.json` of a run that never began."""
    from sota_exp.runs.result import empty_result
    from sota_exp.runs.start_json import write_start

    result = empty_result(
        job.configuration.values["seed"], job.configuration.choices, ("", job.brief.words), resumed=0
    ) | {"reason": reason}
    files.write_config(job.configuration.values)
    result["start"] = write_start(files.directory, result, {})
    files.write_result(result)
    with contextlib.suppress(ConfigError), as_shown(job.brief.origin):
        build(Tracking, job.configuration.values["tracking"], "tracking").follow(shown(files.directory)).finish()


@contextlib.contextmanager
def as_shown(origin: dict[str, Any]) -> Iterator[None]:
    """While entered, what follows a run's files knows what the run belongs to."""
    before = os.environ.get(ORIGIN_VARIABLE)
    os.environ[ORIGIN_VARIABLE] = json.dumps(origin)
    try:
        yield
    finally:
        os.environ.pop(ORIGIN_VARIABLE)
        if before is not None:
            os.environ[ORIGIN_VARIABLE] = before


def last_word(own: OwnTrial) -> str:
    """How the trial ended, in a line."""
    trial = own.frozen
    state = trial.state.name.lower()
    words = {"complete": "green", "pruned": "yellow", "fail": "red"}
    reason = f": {escape(trial.user_attrs['reason'])}" if "reason" in trial.user_attrs else ""
    values = " ".join(
        f"{name} {value:.4g}" for name, value in zip(own.identity.objectives, trial.values or [], strict=False)
    )
    seconds = f", {trial.user_attrs['seconds']:.0f} s" if "seconds" in trial.user_attrs else ""
    return f"  [{words.get(state, 'dim')}]{state}[/] {values if state == 'complete' else ''}{reason}{seconds}"
