"""Weights that a run keeps in an MLflow store, brought here: `runs:/RUN_ID`, or `runs:/RUN_ID/folder/file.safetensors`."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sota_exp.errors import first_line
from sota_exp.runs.mlflow_store import database, environment, resolved, unanswered
from sota_exp.stages.stage import InvalidValue

SCHEME = "runs:/"

#: Seconds that one call to a server may take, and how often it is tried again.
TIMEOUT, RETRIES = 20, 1


@contextmanager
def local(path: str, store: str | None) -> Iterator[Path]:
    """The file `path`, or that of a run in MLflow in a place that is gone on leaving, the run's `model.json` beside it.

    store: an MLflow tracking URI; None for `mlflow.db` in the working directory, where runs are shown by default.

    Raises:
        InvalidValue: no such store, run or file.
    """
    if not path.startswith(SCHEME):
        yield Path(path)
        return
    run_id, _, name = path.removeprefix(SCHEME).partition("/")
    uri = resolved(store, Path.cwd())
    known = database(uri)
    problem = f"{known} does not exist" if known is not None and not known.is_file() else unanswered(uri, TIMEOUT)
    if problem is not None:
        raise InvalidValue("path", path, f"a run of an MLflow store, and {problem}")
    with tempfile.TemporaryDirectory() as place:
        yield fetched(uri, run_id, name or "model.safetensors", place)


def fetched(uri: str, run_id: str, name: str, place: str) -> Path:
    """Download a run's artifact, and its `model.json` where it has one, into `place`; where the former lies."""
    os.environ.update({**environment(TIMEOUT, RETRIES), "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"})
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient(uri)
    try:
        files = {item.path for item in client.list_artifacts(run_id)}
        if "model.json" in files:
            client.download_artifacts(run_id, "model.json", place)
        return Path(client.download_artifacts(run_id, name, place))
    except (MlflowException, OSError) as error:
        cause = first_line(error)
        raise InvalidValue(
            "path", f"{SCHEME}{run_id}/{name}", f"a run and a file of the MLflow store {uri} ({cause})"
        ) from error
