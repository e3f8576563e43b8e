"""The parent run of a sweep or study in MLflow: created by the first job, found by the others, in any process."""

import json
import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from sota_exp.errors import in_a_line
from sota_exp.runs.atomic import write_recomputable_text
from sota_exp.runs.contents import RunContent
from sota_exp.runs.mlflow_store import (
    build_mlflow_environment,
    find_connection_problem,
    get_or_create_experiment,
    open_store,
    resolve_uri,
)
from sota_exp.runs.sent_position import read_multirun_overrides

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

#: Files of a sweep or study that are uploaded as artifacts where they exist.
PARENT_ARTIFACTS = ("sweep.json", "trials.csv", "sweep.md", "multirun.yaml", "study.json", "report.html", "report.md")

#: Seconds for one request, and how often it is repeated.
TIMEOUT, RETRIES = 10, 2

#: {kind of a child: kind of its parent}.
PARENT_KINDS = {"run": "sweep", "trial": "sweep", "confirm": "sweep", "arm": "study"}


def open_parent_run(client: "MlflowClient", uri: str, experiment: str, directory: Path, child: RunContent) -> str:
    """Find or create the parent run in `directory`, set its status to RUNNING, and return its run id."""
    directory.mkdir(parents=True, exist_ok=True)
    with FileLock(directory / ".tracking.lock", timeout=60):
        facts = _read(directory)
        if found := _find(client, experiment, facts["id"]):
            client.update_run(found.info.run_id, status="RUNNING")
            return found.info.run_id
        kind = PARENT_KINDS.get(child.origin.get("kind", "run"), "sweep")
        labels = {
            "run_id": facts["id"],
            "kind": kind,
            "directory": str(directory),
            "mlflow.note.content": _note(directory, kind),
            "mlflow.source.name": "sota-exp ablate" if kind == "study" else "sota-exp train -m",
            "command": _command(directory)[:5000],
            "mlflow.source.type": "LOCAL",
        }
        start_ms = round(facts["time"] * 1000)
        return client.create_run(experiment, start_ms, labels, directory.name).info.run_id


def update_parent_run(
    directory: Path,
    uri: str | None,
    experiment: str,
    status: str,
    read: Callable[[Path], tuple[dict[str, str], dict[str, float]]],
) -> str | None:
    """Update the parent run of a sweep or study that has ended; returns why this failed, or None.

    read: tags and metrics from the files of the directory. Sending twice adds no points.
    """
    try:
        store = resolve_uri(uri, Path.cwd())
        if reason := find_connection_problem(store, 2.0):
            return reason
        os.environ.update(build_mlflow_environment(TIMEOUT, RETRIES))
        client = open_store(store)
        is_tracked = (directory / "tracking.json").exists()
        run = (
            _find(client, get_or_create_experiment(client, store, experiment), _read(directory)["id"])
            if is_tracked
            else None
        )
        if run is None:
            return "none of its runs is shown there; sota-exp sync sends them"
        _send(client, run, directory, *read(directory))
        client.set_terminated(run.info.run_id, status)
    except Exception as error:  # An error of tracking must not stop a sweep or study.
        return in_a_line(error)
    return None


def _send(client: "MlflowClient", run: "Run", directory: Path, tags: dict[str, str], numbers: dict[str, float]) -> None:
    run_id = run.info.run_id
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


def _read(directory: Path) -> dict[str, Any]:
    """`tracking.json` of a sweep or study: its id and its start in seconds since 1970; written if it is missing."""
    path = directory / "tracking.json"
    if not path.exists():
        write_recomputable_text(path, json.dumps({"id": uuid.uuid4().hex, "time": time.time()}) + "\n")
    facts: dict[str, Any] = json.loads(path.read_text())
    return facts


def _command(directory: Path) -> str:
    overrides = read_multirun_overrides(directory)
    if any(str(item).startswith("+study=") for item in overrides):
        return " ".join(
            ["sota-exp ablate", *(str(item).removeprefix("+").replace("=equal_arms", "=null") for item in overrides)]
        )
    return " ".join(["sota-exp train -m", *map(str, overrides)]) if overrides else directory.name


def _note(directory: Path, kind: str) -> str:
    return (
        f"The runs of one {kind} are below this one; its files are in `{directory}`.\n\n```\n{_command(directory)}\n```"
    )
