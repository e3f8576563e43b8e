"""Check of MLflow: whether its store can be reached and read, and which runs are not sent to it or not finished."""

from pathlib import Path
from typing import Any

from sota_exp.config.credentials import reveal_credentials
from sota_exp.errors import ConfigError, first_line
from sota_exp.preview.doctor.disk import find_existing_folder, is_writable
from sota_exp.preview.doctor.finding import CheckResult, build_note, build_ok, build_problem
from sota_exp.runs.contents import is_being_trained
from sota_exp.runs.digests import read_json
from sota_exp.runs.find import RUN_ROOTS, find_runs_below
from sota_exp.runs.mlflow_store import (
    find_connection_problem,
    get_sqlite_path,
    mask_passwords,
    mlflow_environment,
    resolve_uri,
)
from sota_exp.tracking.sync import is_sent, is_tracked

#: Timeout in seconds.
STORE_TIMEOUT_SECONDS = 5


def check_store(tracking: dict[str, Any]) -> list[CheckResult]:
    """Findings on the store of `tracking.uri`, which is not created."""
    if "uri" not in tracking:
        return [build_note("tracking=none: runs are kept in files only", "tracking=mlflow")]
    try:
        uri = resolve_uri(tracking["uri"], Path.cwd())
    except ConfigError as error:
        return [build_problem(str(error), "set tracking.uri=sqlite:////FOLDER/mlflow.db, or tracking=none")]
    if reason := find_connection_problem(uri, STORE_TIMEOUT_SECONDS):
        return [
            build_problem(
                mask_passwords(reason),
                "set another tracking.uri, or move the file away"
                if get_sqlite_path(uri)
                else "start the server, or set tracking.uri=null for a file here; runs continue without it",
            )
        ]
    path = get_sqlite_path(uri)
    if path is not None and not path.exists():
        if not is_writable(find_existing_folder(path.parent)):
            return [build_problem(f"{path} cannot be created", "set tracking.uri=sqlite:///DIR/mlflow.db")]
        return [build_ok(f"{uri} will be created by the first run")]
    return [check_experiment(uri, tracking["experiment"])]


def check_experiment(uri: str, experiment: str) -> CheckResult:
    """Whether MLflow can read the store."""
    try:
        with mlflow_environment(uri, STORE_TIMEOUT_SECONDS, 0):
            from mlflow import MlflowClient

            stored = MlflowClient(reveal_credentials(uri)).get_experiment_by_name(experiment)
    except Exception as error:
        reason = first_line(error)
        fix = f"mlflow db upgrade {uri}" if "schema" in reason else "set another tracking.uri; sota-exp sync fills it"
        return build_problem(mask_passwords(f"{uri}: {reason}"), mask_passwords(fix))
    return build_ok(f"{mask_passwords(uri)}: experiment {experiment}{'' if stored else ' is created by the first run'}")


def check_runs() -> list[CheckResult]:
    """Findings on the runs below outputs and multirun: how many, and which are being trained, not sent, unfinished."""
    directories = [run for root in RUN_ROOTS for run in find_runs_below(Path(root), nested=True)]
    if not directories:
        return [build_ok(f"none yet below {' and '.join(RUN_ROOTS)}")]
    running = [run for run in directories if is_being_trained(run)]
    ended = [run for run in directories if run not in running]
    unsent = [run for run in ended if is_tracked(run) and (run / "result.json").exists() and not is_sent(run)]
    unfinished = [run for run in ended if read_status(run) in ("interrupted", "failed", "no result")]
    findings = [build_ok(f"{len(directories):,} below {' and '.join(RUN_ROOTS)}")]
    if running:
        findings.append(build_ok(f"{len(running):,} being trained now, such as {running[0]}"))
    if unsent:
        findings.append(build_note(f"{len(unsent):,} not sent to MLflow, such as {unsent[0]}", "sota-exp sync"))
    if unfinished:
        text = f"{len(unfinished):,} not finished, such as {unfinished[0]} ({read_status(unfinished[0])})"
        findings.append(build_note(text, "repeat its command to continue it, or remove it"))
    return findings


def read_status(run: Path) -> str:
    """The status in `result.json`, or `no result`."""
    return str((read_json(run / "result.json") or {"status": "no result"})["status"])
