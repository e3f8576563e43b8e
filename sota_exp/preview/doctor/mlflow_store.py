"""Whether the MLflow store can be reached and read, and what is unsent or unfinished among the runs here."""

import json
import os
from pathlib import Path
from typing import Any

from sota_exp.errors import first_line
from sota_exp.preview.doctor.disk import is_writable, nearest
from sota_exp.preview.doctor.finding import Finding, note, ok, problem
from sota_exp.runs.mlflow_store import database, environment, masked, resolved, unanswered
from sota_exp.tracking.sync import PLACES, found, is_sent, is_tracked

#: Seconds that a store is given.
SECONDS = 5


def store(tracking: dict[str, Any]) -> list[Finding]:
    """The store of `tracking.uri`; it is opened but not made."""
    if "uri" not in tracking:
        return [note("store", "tracking=none: runs are kept in files only", "tracking=mlflow")]
    uri = resolved(tracking["uri"], Path.cwd())
    if reason := unanswered(uri, SECONDS):
        return [
            problem(
                "store", masked(reason), "start the server, or tracking.uri=null for a file here; runs go on without it"
            )
        ]
    path = database(uri)
    if path is not None and not path.exists():
        if not is_writable(nearest(path.parent)):
            return [problem("store", f"{path} can't be made", "tracking.uri=sqlite:///DIR/mlflow.db")]
        return [ok("store", f"{uri} will be made by the first run")]
    return [opened(uri, tracking["experiment"])]


def opened(uri: str, experiment: str) -> Finding:
    """How many runs the experiment holds; a problem where MLflow can't read the store."""
    os.environ.update(environment(SECONDS, 0))
    from mlflow import MlflowClient

    try:
        client = MlflowClient(uri)
        there = client.get_experiment_by_name(experiment)
        runs = client.search_runs([there.experiment_id], max_results=1000) if there is not None else []
    except Exception as error:
        reason = first_line(error)
        mend = f"mlflow db upgrade {uri}" if "schema" in reason else "another tracking.uri; sota-exp sync fills it"
        return problem("store", masked(f"{uri}: {reason}"), masked(mend))
    num = f"{len(runs):,}" if len(runs) < 1000 else "1,000 or more"
    return ok("store", f"{masked(uri)}: {num} run{'' if len(runs) == 1 else 's'} in experiment {experiment}")


def runs() -> list[Finding]:
    """Runs below outputs and multirun: how many, which wait to be sent, which were not finished."""
    directories = list(found([Path(place) for place in PLACES]))
    if not directories:
        return [ok("runs", f"none yet below {' and '.join(PLACES)}")]
    unsent = [run for run in directories if is_tracked(run) and (run / "result.json").exists() and not is_sent(run)]
    unfinished = [run for run in directories if status(run) in ("interrupted", "failed", "no result")]
    findings = [ok("runs", f"{len(directories):,} below {' and '.join(PLACES)}")]
    if unsent:
        findings.append(note("runs", f"{len(unsent):,} not sent to MLflow, such as {unsent[0]}", "sota-exp sync"))
    if unfinished:
        said = f"{len(unfinished):,} not finished, such as {unfinished[0]} ({status(unfinished[0])})"
        findings.append(note("runs", said, "repeat its command and it goes on, or remove it"))
    return findings


def status(run: Path) -> str:
    path = run / "result.json"
    return str(json.loads(path.read_text())["status"]) if path.exists() else "no result"
