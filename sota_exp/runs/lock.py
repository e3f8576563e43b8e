"""The lock of a run's directory: one process trains in it, and others say who that is.

The operating system's lock on `.lock` ends with its process. Where hosts share a directory without sharing locks,
`owner.json` says who trains: its owner renews it every `HEARTBEAT` seconds, and one that is older than `STALE` is dead.
"""

import getpass
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from sota_exp.errors import ConfigError
from sota_exp.runs.atomic import remove_drafts, write_recomputable_text

#: Seconds between two renewals of the owner's file, and its age from which another host takes the directory over.
HEARTBEAT, STALE = 15.0, 120.0


@contextmanager
def lock_directory(directory: Path) -> Iterator[None]:
    """While entered, no other process trains or evaluates in the directory, which is made.

    What killed processes left half written is removed.

    Raises:
        ConfigError: another process does.
    """
    directory.mkdir(parents=True, exist_ok=True)
    lock, file = FileLock(directory / ".lock", timeout=0), directory / "owner.json"
    try:
        lock.acquire()
    except Timeout:
        raise ConfigError(describe_owner(directory)) from None
    is_over = threading.Event()
    heart = threading.Thread(target=_beat, args=(file, is_over), daemon=True)
    try:
        if _is_of_another_host(file):
            raise ConfigError(describe_owner(directory))
        facts = {"pid": os.getpid(), "host": socket.gethostname(), "user": find_user()}
        for folder in (directory, directory / "checkpoint"):
            remove_drafts(folder)
        write_recomputable_text(file, json.dumps(facts) + "\n")
        heart.start()
        yield
    finally:
        is_over.set()
        if heart.ident is not None:
            heart.join()
            file.unlink(missing_ok=True)
        lock.release()


def describe_owner(directory: Path) -> str:
    """That the directory is in use, by whom, and what to do."""
    owner = read_owner(directory / "owner.json")
    who = f" by process {owner['pid']} of {owner['user']} on {owner['host']}" if owner else ""
    return f"hydra.run.dir={directory} is in use{who}: wait until it has ended, or choose another directory"


def read_owner(file: Path) -> dict[str, Any]:
    """The content of `owner.json`; {} where it is missing or damaged."""
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and found.keys() >= {"pid", "host", "user"} else {}


def find_user() -> str | None:
    """Name of the user; None in a container where it has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return None


def _is_of_another_host(file: Path) -> bool:
    """Whether a process on another host renewed the file lately."""
    owner = read_owner(file)
    if not owner or owner["host"] == socket.gethostname():
        return False
    with suppress(OSError):
        return time.time() - file.stat().st_mtime < STALE
    return False


def _beat(file: Path, is_over: threading.Event) -> None:
    while not is_over.wait(HEARTBEAT):
        with suppress(OSError):
            os.utime(file)
