"""The storage of a study, SQLite or PostgreSQL, and the lock under which one process at a time takes trials.

Optuna's journal is refused: it has no heartbeat, so a killed trial would stay running for ever.
"""

import contextlib
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeVar

import optuna
import sqlalchemy
from filelock import FileLock
from optuna.exceptions import StorageInternalError
from optuna.pruners import BasePruner
from optuna.samplers import RandomSampler
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from sota_exp.config.credentials import hide_credentials, reveal_credentials
from sota_exp.config.hashing import compute_digest
from sota_exp.errors import ConfigError, RunFailed, in_a_line
from sota_exp.runs.mlflow_store import build_sqlite_uri

T = TypeVar("T")

Direction = Literal["minimize", "maximize"]

SQLITE = "sqlite:///"
POSTGRESQL = ("postgresql://", "postgresql+psycopg://", "postgresql+psycopg2://")

#: Exceptions of a lost connection or a busy file.
CONNECTION_ERRORS = (StorageInternalError, DBAPIError)

#: Seconds for which a call waits for a locked SQLite file, for which it is repeated after its connection is lost, and
#: after which the user is told. A trial that is trained is worth more than the minutes of a restart or a backup.
SQLITE_SECONDS, RETRY_SECONDS, TELL_SECONDS = 60.0, 600.0, 5.0

log = logging.getLogger(__name__)


def resolve_storage_url(url: object, directory: Path) -> str:
    """The absolute URL of the storage; for None `study.db` in the sweep's directory.

    Raises:
        ConfigError: a storage without heartbeat, in memory, or of an unknown kind.
    """
    legal = "legal: null for SQLite in the sweep's directory, sqlite:///PATH, postgresql://USER@HOST/DATABASE"
    if url is None:
        return f"{SQLITE}{(directory / 'study.db').resolve()}"
    text = hide_credentials(str(url))
    if "journal" in text.lower() or text.endswith(".log"):
        reason = "Optuna's journal has no heartbeat, so a killed trial would stay running for ever"
        raise ConfigError(f"hydra.sweeper.storage={text}: {reason}; {legal}")
    if text.startswith(SQLITE) and text != SQLITE and ":memory:" not in text:
        return f"{SQLITE}{Path(text.removeprefix(SQLITE)).resolve()}"
    if text.startswith(POSTGRESQL):
        return text
    raise ConfigError(f"hydra.sweeper.storage={text}: a sweep cannot be resumed from this storage; {legal}")


def retry_while_disconnected(call: Callable[[], T], seconds: float = RETRY_SECONDS) -> T:
    """The result of the call, repeated while the connection to the storage is lost.

    Raises:
        RunFailed: it is still lost after `seconds`.
    """
    began, pause, is_told = time.monotonic(), 0.1, False
    while True:
        try:
            return call()
        except CONNECTION_ERRORS as error:
            waited = time.monotonic() - began
            problem = f"the sweep's storage does not answer: {format_storage_error(error)}"
            if waited + pause > seconds:
                raise RunFailed(problem) from error
            if waited > TELL_SECONDS and not is_told:
                log.warning("%s; it is tried again for up to %.0f s", problem, seconds)
                is_told = True
            time.sleep(pause)
            pause = min(2 * pause, 5.0)


def format_storage_error(error: BaseException) -> str:
    """The error in one line, from the database where it has a message."""
    return in_a_line(error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error)


@dataclass(frozen=True)
class StudyStorage:
    """One study in one storage.

    grace: seconds without a heartbeat after which a trial is stale. is_there: its tables are neither made nor checked.
    """

    url: str
    name: str
    heartbeat: int
    grace: int
    is_there: bool = False

    @cached_property
    def storage(self) -> RDBStorage:
        """The connection; creates missing tables, so the first access must be under `lock`.

        Raises:
            ConfigError: psycopg is not installed.
        """
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        sqlite = self.url.startswith(SQLITE)
        if sqlite:
            path = Path(self.url.removeprefix(SQLITE))
            path.parent.mkdir(parents=True, exist_ok=True)
            url = build_sqlite_uri(path)
        else:
            url = reveal_credentials(self.url)
        options = {"connect_args": {"timeout": SQLITE_SECONDS}} if sqlite else {"pool_pre_ping": True}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            try:
                return RDBStorage(
                    url,
                    engine_kwargs=options,
                    skip_compatibility_check=self.is_there,
                    heartbeat_interval=self.heartbeat,
                    grace_period=self.grace,
                    skip_table_creation=self.is_there,
                )
            except ImportError as error:
                raise ConfigError(
                    f"hydra.sweeper.storage={self.url} needs psycopg: pip install 'sota-exp[postgres]'"
                ) from error

    @cached_property
    def _cached(self) -> BaseStorage:
        """The connection with the trials that have ended, each of which is read once."""
        return optuna.storages.get_storage(self.storage)

    def study(self, directions: list[Direction] | None = None, pruner: BasePruner | None = None) -> optuna.Study:
        """Load the study; if `directions` are given, create it where it is missing."""
        sampler, pruner = RandomSampler(), pruner or optuna.pruners.NopPruner()
        if directions is None:
            return optuna.load_study(study_name=self.name, storage=self._cached, sampler=sampler, pruner=pruner)
        return optuna.create_study(
            study_name=self.name,
            storage=self._cached,
            directions=directions,
            sampler=sampler,
            pruner=pruner,
            load_if_exists=True,
        )

    @contextlib.contextmanager
    def lock(self) -> Iterator[Callable[[], None]]:
        """Lock the study against other processes; the lock ends when its process dies.

        Yields a check that must be called before and after whatever must not happen twice: it raises one of
        `CONNECTION_ERRORS` if the lock is lost, because PostgreSQL releases an advisory lock when its connection ends.
        """
        if self.url.startswith(SQLITE):
            path = Path(self.url.removeprefix(SQLITE))
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{path}.lock", timeout=600):
                yield lambda: None
            return
        number = {"n": int(compute_digest(self.name, length=15), 16)}
        with self._lock_engine.connect() as connection:
            connection.execute(sqlalchemy.text("SELECT pg_advisory_lock(:n)"), number)
            try:
                yield lambda: connection.execute(sqlalchemy.text("SELECT 1")).close()
            finally:
                with contextlib.suppress(SQLAlchemyError):
                    connection.execute(sqlalchemy.text("SELECT pg_advisory_unlock(:n)"), number)

    @cached_property
    def _lock_engine(self) -> sqlalchemy.Engine:
        """Connections for the lock only, closed with the lock; without a transaction, whose commit could fail."""
        return sqlalchemy.create_engine(
            reveal_credentials(self.url), poolclass=sqlalchemy.NullPool, isolation_level="AUTOCOMMIT"
        )
