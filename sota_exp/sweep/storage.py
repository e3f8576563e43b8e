"""Where a sweep's trials are kept: SQLite in its directory, or PostgreSQL; one process at a time decides what comes next.

Optuna's journal is refused: it has no heartbeat, so that a killed trial would stay running for ever.
"""

import contextlib
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
from optuna.samplers import BaseSampler, RandomSampler
from optuna.storages import RDBStorage
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from sota_exp.config.hashing import digest
from sota_exp.errors import ConfigError, RunFailed, in_a_line

T = TypeVar("T")

Direction = Literal["minimize", "maximize"]

SQLITE = "sqlite:///"
POSTGRESQL = ("postgresql://", "postgresql+psycopg://", "postgresql+psycopg2://")

#: What a connection that is lost, or a file that is busy, raises.
LOST = (StorageInternalError, DBAPIError)

#: Seconds for which a lost connection is tried again.
PATIENCE = 60.0


def resolved(url: object, directory: Path) -> str:
    """The storage's URL, absolute: `study.db` in the sweep's directory for None.

    Raises:
        ConfigError: a storage without heartbeat, or none that we know.
    """
    legal = "legal: null for SQLite in the sweep's directory, sqlite:///PATH, postgresql://USER@HOST/DATABASE"
    if url is None:
        return f"{SQLITE}{(directory / 'study.db').resolve()}"
    text = str(url)
    if "journal" in text.lower() or text.endswith(".log"):
        reason = "Optuna's journal has no heartbeat, so a killed trial would stay running for ever"
        raise ConfigError(f"hydra.sweeper.storage={text}: {reason}; {legal}")
    if text.startswith(SQLITE) and text != SQLITE and ":memory:" not in text:
        return f"{SQLITE}{Path(text.removeprefix(SQLITE)).resolve()}"
    if text.startswith(POSTGRESQL):
        return text
    raise ConfigError(f"hydra.sweeper.storage={text}: no storage that a sweep can survive in; {legal}")


def patiently(call: Callable[[], T], seconds: float = PATIENCE) -> T:
    """What the call gives, tried again while the storage's connection is lost.

    Raises:
        RunFailed: it stays lost.
    """
    deadline, pause = time.monotonic() + seconds, 0.1
    while True:
        try:
            return call()
        except LOST as error:
            if time.monotonic() + pause > deadline:
                raise RunFailed(f"the sweep's storage does not answer: {lost_by(error)}") from error
            time.sleep(pause)
            pause = min(2 * pause, 5.0)


def lost_by(error: BaseException) -> str:
    """What went wrong in a line: a database's own words where it has some."""
    return in_a_line(error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error)


@dataclass(frozen=True)
class Store:
    """One study in one storage. url: absolute. lock: a file for the machine's processes to take turns by."""

    url: str
    name: str
    heartbeat: int
    grace: int

    @cached_property
    def storage(self) -> RDBStorage:
        """The connection, its tables made where they are missing; call it under `alone` the first time."""
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        sqlite = self.url.startswith(SQLITE)
        if sqlite:
            Path(self.url.removeprefix(SQLITE)).parent.mkdir(parents=True, exist_ok=True)
        options = {"connect_args": {"timeout": 60}} if sqlite else {"pool_pre_ping": True}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            try:
                return RDBStorage(
                    self.url, engine_kwargs=options, heartbeat_interval=self.heartbeat, grace_period=self.grace
                )
            except ImportError as error:
                raise ConfigError(
                    f"hydra.sweeper.storage={self.url} needs psycopg: pip install 'sota-exp[postgres]'"
                ) from error

    def study(
        self,
        directions: list[Direction] | None = None,
        sampler: BaseSampler | None = None,
        pruner: BasePruner | None = None,
    ) -> optuna.Study:
        """The study, made where `directions` are given and it is missing."""
        sampler, pruner = sampler or RandomSampler(), pruner or optuna.pruners.NopPruner()
        if directions is None:
            return optuna.load_study(study_name=self.name, storage=self.storage, sampler=sampler, pruner=pruner)
        return optuna.create_study(
            study_name=self.name,
            storage=self.storage,
            directions=directions,
            sampler=sampler,
            pruner=pruner,
            load_if_exists=True,
        )

    @contextlib.contextmanager
    def alone(self) -> Iterator[Callable[[], None]]:
        """While entered, no other process of this study is inside. Let go of when a process dies.

        Gives a check, to be made before and after what must not happen twice. It raises one of `LOST` where the turn has ended early:
        PostgreSQL ends it with its connection.
        """
        if self.url.startswith(SQLITE):
            path = Path(self.url.removeprefix(SQLITE))
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{path}.lock", timeout=600):
                yield lambda: None
            return
        number = {"n": int(digest(self.name, length=15), 16)}
        with self._turns.connect() as connection:
            connection.execute(sqlalchemy.text("SELECT pg_advisory_lock(:n)"), number)
            try:
                yield lambda: connection.execute(sqlalchemy.text("SELECT 1")).close()
            finally:
                with contextlib.suppress(SQLAlchemyError):
                    connection.execute(sqlalchemy.text("SELECT pg_advisory_unlock(:n)"), number)

    @cached_property
    def _turns(self) -> sqlalchemy.Engine:
        """A connection of its own for taking turns, closed with its turn; without a transaction, which could fail to end."""
        return sqlalchemy.create_engine(self.url, poolclass=sqlalchemy.NullPool, isolation_level="AUTOCOMMIT")

    def close(self) -> None:
        self.storage.engine.dispose()
