"""MLflow stores: their URIs and keys, whether they answer, and opening them without a race between processes.

Imports mlflow only inside functions, and no torch.
"""

import functools
import os
import posixpath
import re
import urllib.parse
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sota_exp.config.credentials import CREDENTIALS_VARIABLE, find_credentials, reveal_credentials
from sota_exp.config.hashing import compute_digest
from sota_exp.config.printable import is_utf8
from sota_exp.config.shell_words import quote_word
from sota_exp.errors import ConfigError
from sota_exp.runs.environment import changed_environment
from sota_exp.runs.limited_answers import limit_answers

if TYPE_CHECKING:
    from mlflow import MlflowClient

#: Before the path of an SQLite file as it is, and before a quoted path: MLflow makes folders for the first without
#: unquoting it, and SQLAlchemy unquotes both.
SQLITE_PREFIX, QUOTED_SQLITE_PREFIX = "sqlite:///", "sqlite+pysqlite:///"

#: The first bytes of an SQLite file that is not empty.
SQLITE_HEADER = b"SQLite format 3\0"

#: The experiment of runs without another one in their configuration.
DEFAULT_EXPERIMENT = "sota_exp"

#: URI schemes of MLflow's own stores; plugins of MLflow may add others.
URI_SCHEMES = ("http", "https", "sqlite", "postgresql", "mysql", "mssql", "databricks", "uc")

#: A request that reads from the database; MLflow's /health answers even while its database hangs.
PROBE_PATH = "/api/2.0/mlflow/experiments/get?experiment_id=0"


def resolve_uri(uri: str | None, root: Path) -> str:
    """An absolute URI. None is `mlflow.db` in `root`; a relative SQLite path is relative to `root`."""
    path = Path("mlflow.db") if uri is None else get_sqlite_path(uri)
    if path is None:
        return str(uri)
    return build_sqlite_uri((root / path).resolve())


def get_sqlite_path(uri: str) -> Path | None:
    """The file of an SQLite store; None for other stores."""
    if uri.startswith(QUOTED_SQLITE_PREFIX):
        return Path(urllib.parse.unquote(uri.removeprefix(QUOTED_SQLITE_PREFIX)))
    return Path(uri.removeprefix(SQLITE_PREFIX)) if uri.startswith(SQLITE_PREFIX) else None


def build_sqlite_uri(path: Path) -> str:
    """The URI of an SQLite file at an absolute path.

    Raises:
        ConfigError: the path has bytes that are not UTF-8, which SQLAlchemy and MLflow would replace.
    """
    if not is_utf8(str(path)):
        raise ConfigError(f"{path}: a database needs a path in UTF-8; rename the folder, or choose another database")
    quoted = quote_path(path)
    return f"{SQLITE_PREFIX}{path}" if quoted == str(path) else f"{QUOTED_SQLITE_PREFIX}{quoted}"


def quote_path(path: Path) -> str:
    """An absolute path as in a URI: bytes other than letters, digits and `/_.-~` are written as %HH."""
    return urllib.parse.quote(os.fsencode(path))


def choose_artifact_folder(place: Path, experiment: str) -> Path:
    """The folder of an experiment's artifacts below `place`; a name that leads out of it is replaced by its digest."""
    folder = (place / "mlartifacts").resolve()
    found = Path(os.path.normpath(folder / experiment))
    return found if found.is_relative_to(folder) and found != folder else folder / compute_digest(experiment)


def build_artifact_location(folder: Path) -> str:
    """A folder as MLflow reads it: it unquotes paths too, so that a path with signs of URIs must be a URI."""
    return str(folder) if quote_path(folder) == str(folder) else f"file://{quote_path(folder)}"


def build_mlflow_environment(uri: str, timeout: int, retries: int) -> dict[str, str]:
    """Environment variables for MLflow: by default, one call to a dead server takes four minutes before it raises.

    A user and password of the address replace those of the environment.
    """
    return {
        **build_login(uri),
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(timeout),
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": str(retries),
        "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
        "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0.1",
        # Of MLflow's own experiment, which nothing is written to: its SQL breaks at a quote in a path.
        "_MLFLOW_SERVER_ARTIFACT_ROOT": build_artifact_location(Path.cwd() / "mlruns"),
        "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "GIT_PYTHON_REFRESH": "quiet",
    }


def build_login(uri: str) -> dict[str, str]:
    """The variables for the user and password, or the token, that an address had; {} without any."""
    found = find_credentials(uri)
    if found is None:
        return {}
    if not is_http_uri(uri):
        return {CREDENTIALS_VARIABLE: os.environ[CREDENTIALS_VARIABLE]}
    user, password = found
    values = (user, password, "") if password else ("", "", user)
    names = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
    return dict(zip(names, values, strict=True))


def mlflow_environment(uri: str, timeout: int, retries: int) -> AbstractContextManager[None]:
    """While entered, this process has `build_mlflow_environment`: another store must not get this one's password."""
    return changed_environment(build_mlflow_environment(uri, timeout, retries))


@functools.lru_cache(maxsize=4096)
def sanitize_key(key: str) -> str:
    """Replace characters that MLflow refuses by `_`; legal are word characters, `-`, `.`, space, `:` and `/`."""
    key = posixpath.normpath(re.sub(r"[^\w\-. :/]", "_", key)).lstrip("/")[:250]
    return re.sub(r"^\.+", "_", key) or "_"


def is_supported_uri(uri: str) -> bool:
    """Whether MLflow supports the scheme of the URI; an HTTP address needs a host, and a port must be a number."""
    if not is_http_uri(uri):
        scheme = re.split(r"[+:]", uri, maxsplit=1)[0]
        from importlib.metadata import entry_points

        plugins = {point.name for point in entry_points(group="mlflow.tracking_store")}
        return (":" in uri or uri in ("databricks", "uc")) and scheme in {*URI_SCHEMES, *plugins}
    try:
        parts = urllib.parse.urlsplit(uri)
        return bool(parts.hostname) and parts.port != 0 and " " not in uri
    except ValueError:
        return False


def require_supported_uri(uri: str) -> None:
    """Check the value of `--uri`.

    Raises:
        ConfigError: MLflow does not support it.
    """
    if not is_supported_uri(uri):
        raise ConfigError(
            f"--uri={mask_passwords(uri)} is not legal: an MLflow URI such as http://host:5000, "
            f"by {', '.join(URI_SCHEMES)}"
        )


def mask_passwords(text: str) -> str:
    """The text with `***` for the passwords in its addresses."""
    return re.sub(r"(://[^\s:/@]*):[^\s/@]+@", r"\1:***@", text)


def is_http_uri(uri: str) -> bool:
    """Whether the store is behind an HTTP server."""
    return uri.startswith(("http://", "https://"))


def find_connection_problem(uri: str, seconds: float) -> str | None:
    """Why an HTTP server or an SQLite file cannot be used, as a message; None if it answers in `seconds`, or is one."""
    if not is_http_uri(uri):
        return _find_file_problem(uri)
    import http.client
    import ssl
    import urllib.error
    import urllib.request

    try:
        urllib.request.urlopen(f"{uri.rstrip('/')}{PROBE_PATH}", timeout=seconds).close()
    except urllib.error.HTTPError as error:
        error.close()
        return f"{uri} answers {error.code}" if error.code >= 500 else None
    except OSError as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        return None if isinstance(reason, ssl.SSLError) else f"{uri} does not answer"
    except (ValueError, http.client.InvalidURL):
        return f"{uri} is not a URL"
    except http.client.HTTPException as error:  # A service of another protocol.
        return f"{uri} does not answer as an HTTP server: {type(error).__name__}"
    return None


def _find_file_problem(uri: str) -> str | None:
    """That the file of an SQLite store is none, which MLflow would try to open for 100 seconds; else None."""
    path = get_sqlite_path(uri)
    if path is None or not path.is_file():
        return None
    with path.open("rb") as file:
        begins = file.read(len(SQLITE_HEADER))
    return None if begins in (b"", SQLITE_HEADER) else f"{path} is no SQLite database; move it away"


def open_store(uri: str) -> "MlflowClient":
    """A client of the store. SQLite's tables are created under a lock: two processes at once would corrupt them.

    Raises:
        ConfigError: the file is no SQLite database.
    """
    if problem := _find_file_problem(uri):
        raise ConfigError(problem)
    from mlflow import MlflowClient

    limit_answers()
    with _lock(uri):
        client = MlflowClient(reveal_credentials(uri))
        client.search_experiments(max_results=1)
    return client


def _lock(uri: str) -> AbstractContextManager[object]:
    path = get_sqlite_path(uri)
    if path is None:
        return nullcontext()
    from filelock import FileLock

    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(f"{path}.lock", timeout=120)


def get_or_create_experiment(client: "MlflowClient", uri: str, name: str) -> str:
    """The id of the experiment `name`: found, restored if deleted, or created with artifacts beside an SQLite store."""
    from mlflow.exceptions import MlflowException

    path = get_sqlite_path(uri)
    with _lock(uri):
        found = client.get_experiment_by_name(name)
        if found is None:
            location: dict[str, Any] = (
                {}
                if path is None
                else {"artifact_location": build_artifact_location(choose_artifact_folder(path.parent, name))}
            )
            try:
                return client.create_experiment(name, **location)
            except MlflowException:
                found = client.get_experiment_by_name(name)  # Another process created it first.
                if found is None:
                    raise
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return found.experiment_id


def format_dashboard_command(uri: str, experiment: str) -> str:
    """The command line that opens the dashboard on an experiment from this directory."""
    words = ["sota-exp dashboard"]
    if get_sqlite_path(uri) != Path("mlflow.db").resolve():
        words.append(f"--uri {uri}")
    if experiment != DEFAULT_EXPERIMENT:
        words.append(f"--experiment {quote_word(experiment)}")
    return " ".join(words)
