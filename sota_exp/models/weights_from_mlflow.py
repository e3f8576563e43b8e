"""Downloads the weights of a run from an MLflow store: `runs:/RUN_ID`, or `runs:/RUN_ID/folder/file.safetensors`."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from sota_exp.config.credentials import reveal_credentials
from sota_exp.errors import first_line
from sota_exp.runs.mlflow_store import find_connection_problem, get_sqlite_path, mlflow_environment, resolve_uri
from sota_exp.stages.stage import InvalidValue, require

SCHEME = "runs:/"

#: Files that belong to weights: the network and its preprocessing, and the digests of the training images.
BESIDE = ("model.json", "trained_on.npy")

#: Timeout of one request to a server in seconds, and number of retries.
TIMEOUT, RETRIES = 20, 1


@contextmanager
def fetch_weights_file(path: str, store: str | None) -> Iterator[Path]:
    """The file `path`, or a temporary download of an MLflow run's file with those of `BESIDE` that lie beside it.

    store: an MLflow tracking URI; None for `mlflow.db` in the working directory, the default store.

    Raises:
        InvalidValue: there is no such store, run or file, or `path` names a model of MLflow, not its run.
    """
    require(not path.startswith("models:/"), "path", path, "a file, or runs:/RUN_ID with the run that made the model")
    if not path.startswith(SCHEME):
        yield Path(path)
        return
    run_id, _, name = path.removeprefix(SCHEME).partition("/")
    uri = resolve_uri(store, Path.cwd())
    file = get_sqlite_path(uri)
    problem = (
        f"{file} does not exist" if file is not None and not file.is_file() else find_connection_problem(uri, TIMEOUT)
    )
    if problem is not None:
        raise InvalidValue("path", path, f"a run of an MLflow store, but {problem}")
    with tempfile.TemporaryDirectory() as folder:
        with mlflow_environment(uri, TIMEOUT, RETRIES):
            downloaded = _download(uri, run_id, name or "model.safetensors", folder)
        yield downloaded


def _download(uri: str, run_id: str, name: str, folder: str) -> Path:
    """Download an artifact of a run, and those of `BESIDE`, into `folder`; returns the artifact's path."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient(reveal_credentials(uri))
    try:
        place = PurePosixPath(name).parent
        files = {item.path for item in client.list_artifacts(run_id, None if place == PurePosixPath() else str(place))}
        for path in sorted(files & {str(place / other) for other in BESIDE}):
            client.download_artifacts(run_id, path, folder)
        return Path(client.download_artifacts(run_id, name, folder))
    except (MlflowException, OSError) as error:
        cause = first_line(error)
        raise InvalidValue(
            "path", f"{SCHEME}{run_id}/{name}", f"a run and a file of the MLflow store {uri} ({cause})"
        ) from error
