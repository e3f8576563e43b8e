"""Optuna's tables for tests: made once, and copied into each new SQLite file."""

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import unquote

import sqlalchemy
from optuna.storages import RDBStorage
from optuna.storages._rdb.storage import _VersionManager

#: The file of a study that is not there yet, as Optuna made the first one of this process, or of the one it was forked from.
_made: list[bytes] = []

_find_head = _VersionManager.get_head_version


@functools.wraps(_find_head)
def find_head_once(self: _VersionManager) -> str:
    if not _heads:
        _heads.append(_find_head(self))
    return _heads[0]


#: The newest version of the tables, which Optuna reads from its own files.
_heads: list[str] = []


@contextlib.contextmanager
def studies_share_their_tables() -> Iterator[None]:
    """Optuna makes thirteen tables for each new file and reads its migrations whenever it opens one, which takes longer than a
    short sweep.
    """
    make = RDBStorage.__init__

    @functools.wraps(make)
    def make_once(self: RDBStorage, url: str, *given: Any, **named: Any) -> None:
        place = sqlalchemy.make_url(url)
        path = Path(unquote(str(place.database).removeprefix("file:")) if "uri" in place.query else str(place.database))
        is_new = place.drivername == "sqlite" and path.is_absolute() and path.parent.is_dir() and not path.exists()
        if is_new and _made:
            with contextlib.suppress(OSError):  # which Optuna's own attempt meets again
                path.write_bytes(_made[0])
        make(self, url, *given, **named)
        if is_new and not _made:
            _made.append(path.read_bytes())

    with (
        mock.patch.object(RDBStorage, "__init__", make_once),
        mock.patch.object(_VersionManager, "get_head_version", find_head_once),
    ):
        yield
