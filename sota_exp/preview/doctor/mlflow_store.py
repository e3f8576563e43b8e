"""Check of MLflow: whether its store can be reached and read, and which runs are not sent to it or not finished."""

import json
import os
from pathlib import Path
from typing import Any

from sota_exp.errors import first_line
from sota_exp.preview.doctor.disk import is_writable, nearest
from sota_exp.preview.doctor.finding import Finding, note, ok, problem
from sota_exp.runs.mlflow_store import database, environment, masked, resolved, unanswered
from sota_exp.tracking.sync import PLACES, found, is_sent, is_tracked

#: Timeout in seconds.
SECONDS = 5


def store(tracking: dict[str, Any]) -> list[Finding]:
    """Findings on the store of `tracking.uri`, which is not created."""
    if "uri" not in tracking:
        return [note("store", "tracking=none: runs are kept in files only", "tracking=mlflow")]
    uri = resolved(tracking["uri"], Path.cwd())
    if reason := unanswered(uri, SECONDS):
        return [
            problem(
                "store",
                masked(reason),
                "start the server, or set tracking.uri=null for a file here; runs continue without it",
            )
        ]
    path = database(uri)
    if path is not None and not path.exists():
        if not is_writable(nearest(path.parent)):
            return [problem("store", f"{path} cannot be created", "set tracking.uri=sqlite:///DIR/mlflow.db")]
        return [ok("store", f"{uri} will be created by the first run")]
    return [opened(uri, tracking["experiment"])]


def opened(uri: str, experiment: str) -> Finding:
    """The number of runs in the experiment; a problem if MLflow cannot read the store."""
    os.environ.update(environment(SECONDS, 0))
    from mlflow import MlflowClient

    try:
        client = MlflowClient(uri)
        stored = client.get_experiment_by_name(experiment)
        runs = client.search_runs([stored.experiment_id], max_results=1000) if stored is not None else []
    except Exception as error:
        reason = first_line(error)
        fix = f"mlflow db upgrade {uri}" if "schema" in reason else "set another tracking.uri; sota-exp sync fills it"
        return problem("store", masked(f"{uri}: {reason}"), masked(fix))
    num = f"{len(runs):,}" if len(runs) < 1000 else "1,000 or more"
    return ok("store", f"{masked(uri)}: {num} run{'' if len(runs) == 1 else 's'} in experiment {experiment}")


def runs() -> list[Finding]:
    """Findings on the runs below outputs and multirun: their number, those not sent to MLflow, those not finished."""
    directories = list(found([Path(place) for place in PLACES]))
    if not directories:
        return [ok("runs", f"none yet below {' and '.join(PLACES)}")]
    unsent = [run for run in directories if is_tracked(run) and (run / "result.json").exists() and not is_sent(run)]
    unfinished = [run for run in directories if status(run) in ("interrupted", "failed", "no result")]
    findings = [ok("runs", f"{len(directories):,} below {' and '.join(PLACES)}")]
    if unsent:
        findings.append(note("runs", f"{len(unsent):,} not sent to MLflow, such as {unsent[0]}", "sota-exp sync"))
    if unfinished:
        text = f"{len(unfinished):,} not finished, such as {unfinished[0]} ({status(unfinished[0])})"
        findings.append(note("runs", text, "repeat its command to continue it, or remove it"))
    return findings


def status(run: Path) -> str:
    """The status in `result.json`, or `no result`."""
    path = run / "result.json"
    return str(json.loads(path.read_text())["status"]) if path.exists() else "no result"
