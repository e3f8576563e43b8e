"""Atomic writes: a temporary file is renamed, so that a reader sees the whole old file or the whole new one."""

import functools
import os
import re
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

#: Names of temporary files; see `_replace`.
DRAFT = re.compile(r"\..+\.[0-9a-f]{12}")

#: Seconds without a change from which on a temporary file, in a folder that others write in too, has no writer.
DEAD_AFTER = 600.0


def write_atomically(
    path: Path, write: Callable[[BinaryIO], object], before_rename: Callable[[Path], object] | None = None
) -> None:
    """Write a file that must survive a crash of the machine: it is flushed to disk before the rename.

    before_rename: is called with the path of the temporary file, when it is on disk.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _replace(path, write, True, before_rename)


def write_text(path: Path, text: str) -> None:
    """`write_atomically` for text."""
    write_atomically(path, lambda file: file.write(text.encode()))


def write_recomputable(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file that can be recomputed: it is renamed without waiting for the disk."""
    _replace(path, write, False)


def write_recomputable_text(path: Path, text: str) -> None:
    """`write_recomputable` for text."""
    write_recomputable(path, lambda file: file.write(text.encode()))


def remove_drafts(folder: Path) -> None:
    """Remove the temporary files that killed processes left in a folder in which nobody else writes."""
    for path in folder.glob(".*"):
        if DRAFT.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)


def is_dead_draft(path: Path) -> bool:
    """Whether a file is temporary and its writer was killed, as far as its age tells."""
    try:
        return bool(DRAFT.fullmatch(path.name)) and path.is_file() and time.time() - path.stat().st_mtime > DEAD_AFTER
    except OSError:
        return False


@functools.lru_cache(maxsize=1024)
def _remove_dead_drafts(path: Path) -> None:
    """Remove what killed processes left of the file at `path`; once per process, since the folder is listed."""
    for draft in path.parent.iterdir():
        if draft.name.startswith(f".{path.name}.") and is_dead_draft(draft):
            draft.unlink(missing_ok=True)


def _replace(
    path: Path,
    write: Callable[[BinaryIO], object],
    on_disk: bool,
    before_rename: Callable[[Path], object] | None = None,
) -> None:
    _remove_dead_drafts(path.absolute())
    # Unique among all threads, processes and machines.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        with temporary.open("wb") as file:
            write(file)
            if on_disk:
                file.flush()
                os.fsync(file.fileno())
        if before_rename is not None:
            before_rename(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
