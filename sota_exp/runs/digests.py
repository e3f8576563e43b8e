"""Digests of the files of a run, so that a file that was damaged later is told when it is read.

`digests.json` in the run's directory has, for each file, the SHA-256 of its content, and of the former one. It is
written before the file: a run that is killed in between has the former content, which is still known. Files without a
digest, such as those of older versions, are read unchecked. The user's key signs the table (`own_key.py`).
"""

import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from sota_exp.config.formats import get_format, read_config
from sota_exp.config.values import shorten_middle
from sota_exp.errors import DamagedFile, RunFailed
from sota_exp.runs.atomic import write_atomically
from sota_exp.runs.legal_values import find_illegal
from sota_exp.runs.lock import is_taken_away
from sota_exp.runs.own_key import SIGNATURE, is_signed, sign

NAME = "digests.json"

#: The files that say what a run is, and what it uses.
WHAT_IT_IS = ("config.yaml", "model.json", "result.json", "start.json", "model.safetensors")

#: How often a file is read until its content fits its digest, and the seconds between: a run that trains writes both,
#: one after the other.
NUM_READS, READ_AGAIN = 5, 0.02

#: Characters of a wrong value that a message shows.
MOST_SHOWN = 60


def write_checked(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """`write_atomically` for a file of a run, with its digest.

    Raises:
        RunFailed: the run's directory is gone.
        OSError: it cannot be written.
    """
    directory = _locate(path)[0].parent
    if not directory.is_dir() or is_taken_away(directory):
        raise RunFailed(f"the run's directory {directory} is gone")
    write_atomically(path, write, lambda draft: record_digest(path, compute_digest(draft)))


def write_checked_text(path: Path, text: str) -> None:
    """`write_checked` for text."""
    write_checked(path, lambda file: file.write(text.encode()))


def write_checked_json(path: Path, value: object) -> None:
    """`write_checked` for a JSON value.

    Raises:
        ValueError: a number is infinite or NaN.
    """
    write_checked_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_checked(path: Path) -> bytes:
    """The content of a file of a run.

    Raises:
        DamagedFile: it is not as the run wrote it.
        OSError: it cannot be read.
    """
    for _ in range(NUM_READS):
        content = path.read_bytes()
        if _is_known(path, hashlib.sha256(content).hexdigest()):
            return content
        time.sleep(READ_AGAIN)
    raise _report_other_content(path)


def check_digest(path: Path) -> None:
    """Check a file that is too large to be read at once.

    Raises:
        DamagedFile: it is not as the run wrote it.
        OSError: it cannot be read.
    """
    for _ in range(NUM_READS):
        if _is_known(path, compute_digest(path)):
            return
        time.sleep(READ_AGAIN)
    raise _report_other_content(path)


def find_damaged(directory: Path) -> list[Path]:
    """The files in a run's directory that are missing, or not as the run wrote them."""
    table = _read_table(directory / NAME).items()
    found = [(directory / name, known) for name, known in table if name != SIGNATURE]
    return [path for path, known in found if not path.is_file() or compute_digest(path) not in known]


def is_there(path: Path) -> bool:
    """Whether a file of a run exists; a run that trains has its digest a moment before the file.

    Raises:
        DamagedFile: it is missing, though the run wrote it.
    """
    for _ in range(NUM_READS):
        if path.exists():
            return True
        if not read_digests(path):
            return False
        time.sleep(READ_AGAIN)
    raise DamagedFile(path, f"it is missing, though {NAME} has its digest")


def read_json(path: Path) -> Any:
    """The content of a JSON file of a run; None if there is none.

    Raises:
        DamagedFile: it is not as the run wrote it, no JSON, or has a value that no run writes.
    """
    if not is_there(path):
        return None
    try:
        found = _parse(read_checked(path))
    except UnicodeDecodeError as error:
        raise DamagedFile(path, "it is not text in UTF-8") from error
    except (json.JSONDecodeError, RecursionError) as error:
        raise DamagedFile(path, f"it is not valid JSON: {error}") from error
    _require_legal(path, "", found)
    return found


def try_read_json(path: Path) -> Any:
    """`read_json`; None too for a file that can't be read, or is damaged."""
    try:
        return read_json(path)
    except (OSError, ValueError):
        return None


def _require_legal(path: Path, where: str, *values: object) -> None:
    """Check that no value of a JSON file has what no run writes; where: the words for the place of the values."""
    if illegal := next(filter(None, (find_illegal(path.name, value) for value in values)), None):
        raise DamagedFile(path, f"it has {where}{shorten_middle(illegal, MOST_SHOWN)}, which no run writes")


def _parse(text: str | bytes) -> Any:
    """The value of a JSON text; NaN and infinity, which older versions wrote, become null."""
    return json.loads(text, parse_constant=lambda _: None)


def read_object(path: Path, *keys: str) -> dict[str, Any] | None:
    """The JSON object in a file of a run; None if there is none. keys: that it must have.

    Raises:
        DamagedFile: it is not as the run wrote it, or no JSON object with these keys.
        ConfigError: a later version wrote it.
    """
    found = read_json(path)
    get_format(found, path)
    if path.exists() and not (isinstance(found, dict) and found.keys() >= set(keys)):
        raise DamagedFile(path, f"it is no JSON object with {', '.join(keys)}")
    return found


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of all complete lines of a file of a run; [] if there is none.

    Raises:
        DamagedFile: it is not as the run wrote it, or a line is no JSON object, or has a value that no run writes.
    """
    if not is_there(path):
        return []
    try:
        lines = read_checked(path).decode().splitlines(keepends=True)
        found = [_parse(line) for line in lines if line.endswith("\n")]
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise DamagedFile(path, f"it has a line that is not valid JSON: {error}") from error
    if not all(isinstance(line, dict) for line in found):
        raise DamagedFile(path, "it has a line that is no JSON object")
    _require_legal(path, "a line with ", *found)
    return found


def read_run_config(path: Path) -> dict[str, Any]:
    """`read_config` for the `config.yaml` of a run.

    Raises:
        ConfigError: a later version wrote it.
        DamagedFile: it is not as the run wrote it, or contains no configuration.
        OSError: it cannot be read.
    """
    check_digest(path)
    try:
        return read_config(path)
    except ValueError as error:
        raise DamagedFile(path, str(error)) from error


def move_checked(path: Path, target: Path) -> None:
    """Rename a file of a run, with its digest."""
    for digest in read_digests(path)[-1:]:
        record_digest(target, digest)
    path.replace(target)


def remove_checked(path: Path) -> None:
    """Remove a file, if it is there, and its digest."""
    path.unlink(missing_ok=True)
    table, name = _locate(path)
    known = _read_table(table)
    if known.pop(name, None):
        _write_table(table, known)


def forget_former_content(path: Path) -> None:
    """From now on, only what the file at `path` contains now is taken, not what it contained before; if there is one.

    Raises:
        OSError: the table can't be written.
    """
    if path.is_file():
        record_digest(path, compute_digest(path))


def record_digest(path: Path, digest: str) -> None:
    """Record the digest of what the file at `path` will contain, beside that of what it contains now."""
    table, name = _locate(path)
    known = _read_table(table)
    now = compute_digest(path) if path.is_file() else ""
    known[name] = [*(old for old in known.get(name, []) if old == now != digest), digest]
    _write_table(table, known)


def read_digests(path: Path) -> list[str]:
    """The digests that the file at `path` may have, in hexadecimal; [] if any content is taken."""
    table, name = _locate(path)
    return _read_table(table).get(name, [])


def is_own(directory: Path) -> bool:
    """Whether the user's key signs the table of a run's directory, and the table has the files that say what it is."""
    try:
        known = _read_table(directory / NAME)
    except (OSError, ValueError):
        return False
    return is_signed(known) and all(name in known for name in WHAT_IT_IS if os.path.lexists(directory / name))


def compute_digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_known(path: Path, digest: str) -> bool:
    """Whether a digest, which was computed before this reads the table, is one that the file may have."""
    known = read_digests(path)
    return not known or digest in known


def _report_other_content(path: Path) -> DamagedFile:
    return DamagedFile(path, f"its content has another digest than {NAME} says (remove that if you changed the file)")


def _locate(path: Path) -> tuple[Path, str]:
    """The file with the digests, and the name in it, which for a checkpoint is `checkpoint/…`."""
    if path.parent.name == "checkpoint":
        return path.parent.parent / NAME, f"checkpoint/{path.name}"
    return path.parent / NAME, path.name


def _write_table(table: Path, known: dict[str, list[str]]) -> None:
    text = json.dumps(sign(dict(sorted(known.items()))), indent=1) + "\n"
    write_atomically(table, lambda file: file.write(text.encode()))


def _read_table(table: Path) -> dict[str, list[str]]:
    try:
        found = json.loads(table.read_bytes())
    except FileNotFoundError:
        return {}
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise DamagedFile(table, "it is not valid JSON; remove it to read the run's files unchecked") from error
    if not isinstance(found, dict) or not all(isinstance(known, list) for known in found.values()):
        raise DamagedFile(table, "it has no digests; remove it to read the run's files unchecked")
    return found
