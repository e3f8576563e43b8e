"""Where an MLflow store is, whether it answers, and opening it without two processes creating it at once.

Imports neither torch nor mlflow but inside `opened`.
"""

import contextlib
import http.client
import re
import shlex
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from sota_exp.errors import ConfigError

if TYPE_CHECKING:
    from mlflow import MlflowClient

SQLITE = "sqlite:///"

#: The experiment of runs that name none.
DEFAULT_EXPERIMENT = "sota_exp"

#: Stores that MLflow has of its own; a plugin of MLflow's may bring more.
SCHEMES = ("http", "https", "sqlite", "postgresql", "mysql", "mssql", "databricks", "uc")

#: Asks the store itself for a thing that is nearly always there; MLflow's /health answers while its database hangs.
PROBE = "/api/2.0/mlflow/experiments/get?experiment_id=0"


def resolved(uri: str | None, root: Path) -> str:
    """An absolute URI: `mlflow.db` below `root` for None; a relative SQLite path is taken from `root` too."""
    if uri is None:
        return f"{SQLITE}{root.resolve() / 'mlflow.db'}"
    if uri.startswith(SQLITE):
        return f"{SQLITE}{(root / uri.removeprefix(SQLITE)).resolve()}"
    return uri


def database(uri: str) -> Path | None:
    """The file of an SQLite store."""
    return Path(uri.removeprefix(SQLITE)) if uri.startswith(SQLITE) else None


def environment(timeout: int, retries: int) -> dict[str, str]:
    """MLflow's own settings: by default one call to a dead server takes four minutes before it raises."""
    return {
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(timeout),
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": str(retries),
        "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
        "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0.1",
        "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "GIT_PYTHON_REFRESH": "quiet",
    }


def is_legal(uri: str) -> bool:
    """Whether MLflow has such a store; an HTTP address names a host, and a number as its port if any."""
    if not is_served(uri):
        scheme = re.split(r"[+:]", uri, maxsplit=1)[0]
        plugins = {point.name for point in entry_points(group="mlflow.tracking_store")}
        return (":" in uri or uri in ("databricks", "uc")) and scheme in {*SCHEMES, *plugins}
    try:
        parts = urllib.parse.urlsplit(uri)
        return bool(parts.hostname) and parts.port != 0 and " " not in uri
    except ValueError:
        return False


def require_legal(uri: str) -> None:
    """Raise `ConfigError` for what `--uri` can't be."""
    if not is_legal(uri):
        raise ConfigError(
            f"--uri={masked(uri)} is not legal: an MLflow tracking URI such as http://host:5000, by {', '.join(SCHEMES)}"
        )


def masked(text: str) -> str:
    """The text, its addresses without their passwords, as it may be printed."""
    return re.sub(r"(://[^\s:/@]*):[^\s/@]+@", r"\1:***@", text)


def is_served(uri: str) -> bool:
    """Whether an HTTP server stands between us and the store."""
    return uri.startswith(("http://", "https://"))


def answers(uri: str, seconds: float) -> bool:
    """Whether an HTTP server answers within `seconds` with anything but a failure of its own; True for other stores."""
    return unanswered(uri, seconds) is None


def unanswered(uri: str, seconds: float) -> str | None:
    """Why an HTTP server is of no use now, in words; None where it answers, and for other stores."""
    if not is_served(uri):
        return None
    try:
        urllib.request.urlopen(f"{uri.rstrip('/')}{PROBE}", timeout=seconds).close()
    except urllib.error.HTTPError as error:
        error.close()
        return f"{uri} answers {error.code}" if error.code >= 500 else None
    except OSError as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        return None if isinstance(reason, ssl.SSLError) else f"{uri} does not answer"
    except (ValueError, http.client.InvalidURL):
        return f"{uri} is no URL"
    except http.client.HTTPException as error:  # Of a service that speaks something else.
        return f"{uri} does not answer as an HTTP server: {type(error).__name__}"
    return None


def opened(uri: str) -> "MlflowClient":
    """A client of the store. SQLite's tables are made by one process at a time: two at once break them for ever."""
    from mlflow import MlflowClient

    with _alone(uri):
        client = MlflowClient(uri)
        client.search_experiments(max_results=1)
    return client


@contextlib.contextmanager
def _alone(uri: str) -> Iterator[None]:
    path = database(uri)
    if path is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock", timeout=120):
        yield


def experiment_id(client: "MlflowClient", uri: str, name: str) -> str:
    """The experiment of that name: found, taken back from the bin, or made, with its files beside an SQLite store."""
    from mlflow.exceptions import MlflowException

    path = database(uri)
    with _alone(uri):
        found = client.get_experiment_by_name(name)
        if found is None:
            place: dict[str, Any] = (
                {} if path is None else {"artifact_location": str(path.parent / "mlartifacts" / name)}
            )
            try:
                return client.create_experiment(name, **place)
            except MlflowException:
                found = client.get_experiment_by_name(name)  # Another process was quicker.
                if found is None:
                    raise
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return found.experiment_id


def dashboard_of(uri: str, experiment: str) -> str:
    """The command that opens a store at an experiment, from this directory."""
    said = ["sota-exp dashboard"]
    if uri != resolved(None, Path.cwd()):
        said.append(f"--uri {uri}")
    if experiment != DEFAULT_EXPERIMENT:
        said.append(f"--experiment {shlex.quote(experiment)}")
    return " ".join(said)
