"""The lock of a run's directory: one process trains in it, and others say who that is, and whether it still does.

The operating system's lock on `.lock` ends with its process. `owner.json` says who works in the directory: of an owner
on this host the process is looked for; one on another host renews the file every `HEARTBEAT` seconds, and is dead where
it is older than `STALE`. Imports neither torch nor mlflow.
"""

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sota_exp.errors import ConfigError
from sota_exp.runs.atomic import remove_drafts, write_recomputable_text

log = logging.getLogger(__name__)

#: Seconds between two renewals of the owner's file, and its age from which another host takes the directory over.
HEARTBEAT, STALE = 15.0, 120.0


#: Directory that this process has locked → inode of the lock's file.
_locked: dict[Path, int] = {}


def is_taken_away(directory: Path) -> bool:
    """Whether this process locked the directory and it was removed since, even if another command made it anew."""
    if (inode := _locked.get(directory.resolve())) is None:
        return False
    try:
        return (directory / ".lock").stat().st_ino != inode
    except OSError:
        return True


@contextmanager
def lock_directory(directory: Path) -> Iterator[None]:
    """While entered, no other process trains or evaluates in the directory, which is made.

    What killed processes left half written is removed.

    Raises:
        ConfigError: another process does.
    """
    import psutil
    from filelock import FileLock, Timeout

    directory.mkdir(parents=True, exist_ok=True)
    lock, file = FileLock(directory / ".lock", timeout=0), directory / "owner.json"
    try:
        lock.acquire()
    except Timeout:
        raise ConfigError(describe_owner(directory)) from None
    is_over = threading.Event()
    heart = threading.Thread(target=_beat, args=(file, is_over), daemon=True)
    try:
        if find_owner(directory).get("host", socket.gethostname()) != socket.gethostname():
            raise ConfigError(describe_owner(directory))
        born = psutil.Process().create_time()
        facts = {"pid": os.getpid(), "born": born, "host": socket.gethostname(), "user": find_user()}
        for folder in (directory, directory / "checkpoint"):
            remove_drafts(folder)
        write_recomputable_text(file, json.dumps(facts) + "\n")
        _locked[directory.resolve()] = (directory / ".lock").stat().st_ino
        heart.start()
        yield
    finally:
        is_over.set()
        if heart.ident is not None:
            heart.join()
            if not is_taken_away(directory):
                file.unlink(missing_ok=True)
        _locked.pop(directory.resolve(), None)
        lock.release()


def describe_owner(directory: Path) -> str:
    """That the directory is in use, by whom, and what to do."""
    owner = read_owner(directory / "owner.json")
    who = f" by process {owner['pid']} of {owner['user']} on {owner['host']}" if owner else ""
    return f"hydra.run.dir={directory} is in use{who}: wait until it has ended, or choose another directory"


def wait_for_owner(directory: Path) -> None:
    """Wait until no other process works in the directory; an earlier command may have left one to its launcher."""
    if find_owner(directory):
        log.warning("%s; waiting", describe_owner(directory).partition(":")[0])
    while find_owner(directory):
        time.sleep(1.0)


def count_owners(files: Iterable[Path]) -> int:
    """How many of these files `owner.json` are of processes that live."""
    return sum(bool(find_owner(file.parent)) for file in files)


def find_owner(directory: Path) -> dict[str, Any]:
    """Who works in the directory now: pid, host and user of a process that lives; {} if there is none."""
    file = directory / "owner.json"
    owner = read_owner(file)
    if not owner or owner["host"] == socket.gethostname():
        return owner if owner and is_process_alive(owner) else {}
    with suppress(OSError):
        return owner if time.time() - file.stat().st_mtime < STALE else {}
    return {}


def is_process_alive(facts: Mapping[str, Any]) -> bool:
    """Whether the process `pid` of this host runs and is the one that was `born` then, in seconds since 1970."""
    import psutil

    try:
        process = psutil.Process(facts["pid"])
        born = process.create_time()
        # Another process may have this pid now. The clock of create_time can be set, hence the tolerance of 1 s.
        return process.status() != psutil.STATUS_ZOMBIE and abs(born - facts.get("born", born)) < 1
    except psutil.NoSuchProcess:
        return False


def read_owner(file: Path) -> dict[str, Any]:
    """The content of `owner.json`; {} where it is missing or damaged."""
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and found.keys() >= {"pid", "host", "user"} else {}


def find_user() -> str | None:
    """Name of the user; None in a container where it has none."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return None


def _beat(file: Path, is_over: threading.Event) -> None:
    while not is_over.wait(HEARTBEAT):
        with suppress(OSError):
            os.utime(file)
