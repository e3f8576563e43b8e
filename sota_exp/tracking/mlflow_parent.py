"""The parent run of a sweep or study in MLflow: created by the first job, found by the others, in any process."""

import json
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from sota_exp.errors import in_a_line
from sota_exp.report.folds import describe_tested, read_folds
from sota_exp.runs.atomic import write_recomputable_text
from sota_exp.runs.mlflow_store import (
    find_connection_problem,
    get_or_create_experiment,
    mask_passwords,
    mlflow_environment,
    open_store,
    resolve_uri,
)
from sota_exp.runs.sent_position import FOLDS_FILE, read_multirun_node, read_multirun_overrides
from sota_exp.tracking.mlflow import format_notice_of_all
from sota_exp.tracking.mlflow_study import read_study
from sota_exp.tracking.mlflow_sweep import read_sweep

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


def read_cross_validation(directory: Path) -> tuple[dict[str, str], dict[str, float]]:
    """The note of a cross-validation as a tag, and means over folds as metrics."""
    found = read_folds(directory)
    assert found is not None
    note = f"{describe_tested(found)}\n\n```\n{found['command']}\n```".strip()
    return {"mlflow.note.content": note}, {name: each["mean"] for name, each in found["metrics"].items()}


#: {file of a sweep or study: what its directory says of the tags and metrics of the parent run}.
READERS = {"sweep.json": read_sweep, "study.json": read_study, FOLDS_FILE: read_cross_validation}

#: What a sweep or study was asked to do: tags of its run that are its parameters too. MLflow never changes these.
PARAMS = ("recipe", "data", "metric", "level", "budget", "objective", "direction")

#: The content of `tracking.json`.
Facts = dict[str, Any]

#: Kind of a run → kind of its parent, and the command that makes it.
PARENTS = {"arm": ("study", "sota-exp ablate"), "fold": ("cross-validation", "sota-exp train")}

#: Files of a sweep or study that are uploaded as artifacts where they exist.
PARENT_ARTIFACTS = (*READERS, "trials.csv", "sweep.md", "multirun.yaml", "report.html", "report.md")

#: Seconds for one request, and how often it is repeated.
TIMEOUT, RETRIES = 10, 2


def open_parent_run(
    client: "MlflowClient", experiment: str, directory: Path, child_kind: str, child_started: float
) -> str:
    """Find or create the parent run in `directory`, and return its run id.

    Its status becomes RUNNING, unless it ended after the start of the child, in seconds since 1970, which comes late.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with FileLock(directory / ".tracking.lock", timeout=60):
        facts = _read(directory)
        run = _find(client, experiment, facts["id"]) or _create(client, experiment, directory, child_kind, facts)
        if facts.get("ended", 0.0) > child_started:
            _send(client, run, directory)
            client.set_terminated(run.info.run_id, facts["status"])
        else:
            client.update_run(run.info.run_id, status="RUNNING")
        return str(run.info.run_id)


def _create(client: "MlflowClient", experiment: str, directory: Path, child_kind: str, facts: Facts) -> "Run":
    kind, source = PARENTS.get(child_kind, ("sweep", "sota-exp train -m"))
    command = _command(directory, source)
    note = f"The runs of one {kind} are below this one; its files are in `{directory}`.\n\n```\n{command}\n```"
    labels = {
        "run_id": facts["id"],
        "kind": kind,
        "directory": str(directory),
        "mlflow.note.content": note,
        "mlflow.source.name": source,
        "command": command[:5000],
        "mlflow.source.type": "LOCAL",
    }
    return client.create_run(experiment, round(facts["time"] * 1000), labels, directory.name)


def end_parent_run(directory: Path, tracking: Mapping[str, Any], status: str) -> list[str]:
    """Update the parent run of a sweep or study that has ended; returns lines: problems, and where to see the runs.

    tracking: the values of the group `tracking`. status: the run's new status in MLflow.
    """
    if "experiment" not in tracking:
        return []
    lines = [format_notice_of_all(directory)]
    if problem := update_parent_run(directory, tracking["uri"], tracking["experiment"], status):
        lines.insert(0, mask_passwords(f"MLflow: the page of {directory.name} is not up to date: {problem}"))
    return list(filter(None, lines))


def update_parent_run(directory: Path, uri: str | None, experiment: str, status: str = "FINISHED") -> str | None:
    """Send note, metrics, files and status of a sweep or study that has ended; returns why this failed, or None.

    Its first tracked run has created the parent run. Sending twice adds no points.
    """
    try:
        with FileLock(directory / ".tracking.lock", timeout=5):
            _write(directory, _read(directory) | {"ended": time.time(), "status": status})
        store = resolve_uri(uri, Path.cwd())
        if reason := find_connection_problem(store, 2.0):
            return reason
        with mlflow_environment(store, TIMEOUT, RETRIES):
            return _update(open_store(store), store, experiment, directory, status)
    except Exception as error:  # An error of tracking must not stop a sweep or study.
        return in_a_line(error)


def _update(client: "MlflowClient", store: str, experiment: str, directory: Path, status: str) -> str | None:
    run = None
    if (directory / "tracking.json").exists():
        run = _find(client, get_or_create_experiment(client, store, experiment), _read(directory)["id"])
    if run is None:
        return "none of its runs is shown there; sota-exp sync sends them"
    _send(client, run, directory)
    client.set_terminated(run.info.run_id, status)
    return None


def _send(client: "MlflowClient", run: "Run", directory: Path) -> None:
    run_id = run.info.run_id
    found = (read(directory) for name, read in READERS.items() if (directory / name).is_file())
    tags, numbers = next(found, ({}, {}))
    for key in (key for key in PARAMS if key in tags and key not in run.data.params):
        client.log_param(run_id, key, tags[key])
    for key, text in tags.items():
        client.set_tag(run_id, key, text)
    for key, value in numbers.items():
        if run.data.metrics.get(key) != value:
            client.log_metric(run_id, key, value, step=0)
    for name in PARENT_ARTIFACTS:
        if (directory / name).is_file():
            client.log_artifact(run_id, str(directory / name))
    if (directory / "figures").is_dir():
        client.log_artifacts(run_id, str(directory / "figures"), "figures")


def _find(client: "MlflowClient", experiment: str, number: str) -> "Run | None":
    return next(iter(client.search_runs([experiment], f"tags.run_id = '{number}'", max_results=1)), None)


def _read(directory: Path) -> Facts:
    """`tracking.json` of a sweep or study; written if it is missing.

    Its id and its start in seconds since 1970; once it has ended, also when it did, and its status in MLflow.
    """
    path = directory / "tracking.json"
    if not path.exists():
        _write(directory, {"id": uuid.uuid4().hex, "time": time.time()})
    facts: Facts = json.loads(path.read_text())
    return facts


def _write(directory: Path, facts: Facts) -> None:
    write_recomputable_text(directory / "tracking.json", json.dumps(facts) + "\n")


def _command(directory: Path, source: str) -> str:
    if (folds := read_folds(directory)) is not None:
        return str(folds["command"])
    from sota_exp.config.search_path import list_directory_words  # imports Hydra

    hydra = read_multirun_node(directory)
    directories = list_directory_words(hydra) if "runtime" in hydra else []
    overrides = " ".join([*directories, *map(str, read_multirun_overrides(directory))])
    if "+study=" in overrides:
        return f"sota-exp ablate {overrides.replace('+study=', 'study=')}"
    return f"{source} {overrides}"
