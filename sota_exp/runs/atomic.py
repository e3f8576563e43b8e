"""Atomic writes: a temporary file is renamed, so that a reader sees the whole old file or the whole new one.

Also reads the JSON files that are written so.
"""

import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file that must survive a crash of the machine: it is flushed to disk before the rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _replace(path, write, on_disk=True)


def write_text(path: Path, text: str) -> None:
    """`write_atomically` for text."""
    write_atomically(path, lambda file: file.write(text.encode()))


def write_json(path: Path, value: object) -> None:
    """`write_atomically` for a JSON value.

    Raises:
        ValueError: a number is infinite or NaN.
    """
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_recomputable(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file that can be recomputed: it is renamed without waiting for the disk."""
    _replace(path, write, on_disk=False)


def write_recomputable_text(path: Path, text: str) -> None:
    """`write_recomputable` for text."""
    write_recomputable(path, lambda file: file.write(text.encode()))


def read_json(path: Path) -> Any:
    """The content of a JSON file; None if it is missing."""
    return json.loads(path.read_text()) if path.is_file() else None


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of all complete lines; a line that is being written is skipped."""
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def _replace(path: Path, write: Callable[[BinaryIO], object], on_disk: bool) -> None:
    # Unique among all threads, processes and machines.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        with temporary.open("wb") as file:
            write(file)
            if on_disk:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
