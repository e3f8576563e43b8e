"""One job of a sweep: train the run or runs of a trial, and record the outcome in the study."""

import contextlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from omegaconf import DictConfig

from sota_exp.config import compose
from sota_exp.config.build import build
from sota_exp.config.configuration import Configuration
from sota_exp.config.launch import is_followed_by_another_process
from sota_exp.config.rules import check_rules
from sota_exp.config.split_of_seed import with_split_of_seed
from sota_exp.errors import ConfigError, Interrupted, RunFailed, in_a_line
from sota_exp.report.terminal import make_console, shorten_path
from sota_exp.runs.digests import read_json_lines
from sota_exp.runs.environment import changed_environment
from sota_exp.runs.files import RunFiles
from sota_exp.runs.result_json import build_empty_result
from sota_exp.runs.sent_position import ORIGIN_VARIABLE
from sota_exp.runs.start_json import write_start
from sota_exp.stages.tracking import Tracking
from sota_exp.statistics.units import get_metric_format
from sota_exp.sweep.console import JobConsole, format_outcome
from sota_exp.sweep.settings import TRIAL_COSTS
from sota_exp.sweep.trial import JobBrief, JobTrial, NotMeasured, TrialIdentity, run_seeds, send_heartbeats
from sota_exp.tracking.listeners import add_tracking
from sota_exp.training.listener import Listener, Pruner, RunRequest
from sota_exp.training.run import run

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class StudyPruner(Pruner):
    """Reports each epoch to the study, and prunes the run when the study's pruner decides so. directory: of the run."""

    own: JobTrial
    metric: str
    directory: Path

    def verdict(self, epoch: dict[str, Any]) -> str | None:
        identity, value = self.own.identity, get_objective(epoch, self.metric)
        if not self.own.values:
            self.recall()
        may_stop = identity.pruning_starts <= epoch["progress"] < 1
        if not self.own.ask(value, int(epoch["epoch"]), may_stop):
            return None
        name = str(identity.pruner["_target_"]).rpartition(".")[2]
        reached = get_metric_format(self.metric).format_with_unit(value)
        return f"{name} pruned it after epoch {epoch['epoch']}, with {self.metric} {reached}"

    def recall(self) -> None:
        """Take the values of all epochs so far from the file: a process that was killed may not have reported all."""
        epochs = read_json_lines(self.directory / "metrics.jsonl")
        self.own.values.update({int(epoch["epoch"]): get_objective(epoch, self.metric) for epoch in epochs})


@dataclass(frozen=True, kw_only=True)
class TrialJob:
    """A configuration and the directory of its runs; its seed is that of the first run."""

    configuration: Configuration
    directory: Path
    brief: JobBrief
    hydra_files: Mapping[str, str]

    def run_seed(self, index: int, of: int, pruner: Pruner | None = None) -> dict[str, Any]:
        """Train with seed `values["seed"] + index` and return `result.json`. of: the number of seeds."""
        seed = self.configuration.values["seed"] + index
        directory = self.directory / f"seed{seed}" if of > 1 else self.directory
        before = RunFiles(directory=directory).result()
        if before is not None and before["status"] == "pruned":
            return before  # Its process was killed after result.json and before the study was updated.
        title = self.brief.origin["name"] + (f", seed {seed}" if of > 1 else "")
        configuration = with_split_of_seed(self.configuration, seed).with_values(seed=seed)
        request = RunRequest(
            configuration=configuration, directory=shorten_path(directory), hydra_files=self.hydra_files
        )
        console = Listener() if is_followed_by_another_process() else JobConsole(title)
        with set_origin(self.brief.origin | {"name": title}):
            return run(request, add_tracking(console, say=log.debug), pruner)


def run_sweep_job(config: DictConfig, brief: JobBrief) -> float | None:
    """Run a trial and return None, or a run of the confirmation and return its val accuracy."""
    job = TrialJob(
        configuration=compose.get_job_configuration(config),
        directory=compose.get_output_directory(),
        brief=brief,
        hydra_files=compose.build_hydra_files(config),
    )
    if brief.trial is not None:
        run_trial(job, brief.trial)
        return None
    check_rules(job.configuration)
    result = run_or_write_failure(job, lambda: job.run_seed(0, 1))
    return float(result["metrics"]["val/accuracy"])


def run_trial(job: TrialJob, identity: TrialIdentity) -> None:
    """Run the trial and end it as complete, pruned or failed; if interrupted, release it for the next command.

    Not where a launcher's process waits for it, which releases it itself: SLURM may start this job again.

    Raises:
        Interrupted: a signal ended the run.
        NotMeasured: it has no value of an objective.
    """
    own = JobTrial.open(identity)
    if not own.is_owned:
        log.warning("trial %d has another owner by now", identity.number)
        return
    with send_heartbeats(own.study, [own.trial._trial_id]):
        try:
            run_or_write_failure(job, lambda: _run_trial(job, own))
        except NotMeasured as error:  # Every trial would fail so.
            own.fail(str(error))
            raise
        except (ConfigError, RunFailed) as error:
            own.fail(str(error))
        except Interrupted:
            if not is_followed_by_another_process():
                own.release()
            raise
        except Exception as error:
            log.exception("trial %d: unexpected error", identity.number)
            own.fail(in_a_line(error))
    if not is_followed_by_another_process():
        make_console(is_progress=True).print(f"  {format_outcome(own.frozen, identity.objectives)}", soft_wrap=True)


def _run_trial(job: TrialJob, own: JobTrial) -> dict[str, Any]:
    identity = own.identity
    for warning in check_rules(job.configuration):
        log.debug(warning)
    results = [run_one_seed(job, own)] if identity.seeds == 1 else run_all_seeds(job, own)
    own.note(**build_trial_attributes(results))
    if results[0]["status"] == "pruned":
        own.prune(results[0]["reason"])
        return results[0]
    values = [fmean(get_objective(measure(result), name) for result in results) for name in identity.objectives]
    own.complete(values, get_costs(results[0]))
    return results[-1]


def run_one_seed(job: TrialJob, own: JobTrial) -> dict[str, Any]:
    """The result of a trial of one seed; its epochs are reported where the one objective is measured after each."""
    metric, *others = own.identity.objectives
    if not metric.startswith("val/") or others:
        return job.run_seed(0, 1)
    pruner = StudyPruner(own=own, metric=metric, directory=job.directory)
    result = job.run_seed(0, 1, pruner)
    pruner.recall()
    return result


def run_all_seeds(job: TrialJob, own: JobTrial) -> list[dict[str, Any]]:
    """The results of the seeds of a trial until the study's pruner, which compares seeds, stops it."""
    results: list[dict[str, Any]] = []

    def run_seed(index: int) -> float:
        results.append(job.run_seed(index, own.identity.seeds))
        return get_objective(measure(results[-1]), own.identity.objectives[0])

    run_seeds(own, run_seed, own.identity.seeds)
    return results


def get_objective(values: Mapping[str, Any], name: str) -> float:
    """The value of an objective among those of an epoch or of a run.

    Raises:
        NotMeasured: there is no such value.
    """
    if values.get(name) is None:
        known = ", ".join(key for key in values if key.startswith(("val/", "cost/")))
        raise NotMeasured(f"hydra.sweeper.objective={name} is not measured; legal: {known}")
    return float(values[name])


def measure(result: dict[str, Any]) -> dict[str, Any]:
    """The values of a run that an objective may name: `val/…` and `cost/…`. A search must not see test metrics."""
    return select_val_metrics(result) | get_costs(result)


def select_val_metrics(result: dict[str, Any]) -> dict[str, float]:
    """Those on val that the result has, without those that are null."""
    found = result["metrics"].items()
    return {key: value for key, value in found if key.startswith("val/") and value is not None}


def get_costs(result: dict[str, Any]) -> dict[str, float]:
    """{`cost/…`: value} of a run, named as in MLflow."""
    found = {"train_seconds": result["seconds"].get("train"), **result}
    return {f"cost/{name}": float(found[name]) for name in TRIAL_COSTS if found.get(name) is not None}


def build_trial_attributes(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Attributes of the trial in the study. Test metrics are left out: a search must not see them."""
    return {
        "seconds": sum(sum(result["seconds"].values()) for result in results),
        "steps": sum(result["steps"] for result in results),
        "costs": get_costs(results[-1]),
        "metrics": select_val_metrics(results[-1]),
        "inference_size": (results[-1].get("resolution") or {}).get("chosen", {}).get("size"),
    }


def run_or_write_failure(job: TrialJob, call: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return the result of the call; if it fails without a `result.json`, write one with the reason."""
    try:
        return call()
    except (ConfigError, RunFailed) as error:
        files = RunFiles(directory=job.directory)
        if files.result() is None:
            write_failed_run(job, files, str(error))
        raise


def write_failed_run(job: TrialJob, files: RunFiles, reason: str) -> None:
    """Write `config.yaml`, `start.json` and `result.json` of a run that never began, and send them to MLflow."""
    result = build_empty_result(
        job.configuration.values["seed"], job.configuration.choices, ("", job.brief.origin["name"])
    ) | {"reason": reason}
    files.write_config(job.configuration.values)
    result["start"] = write_start(files.directory, result, {})
    files.write_result(result)
    with contextlib.suppress(ConfigError), set_origin(job.brief.origin):
        build(Tracking, job.configuration.values["tracking"], "tracking").follow(shorten_path(files.directory)).finish()


def set_origin(origin: dict[str, Any]) -> contextlib.AbstractContextManager[None]:
    """Context in which a tracker reads from the environment to which trial or confirmation a run belongs."""
    return changed_environment({ORIGIN_VARIABLE: json.dumps(origin)})
