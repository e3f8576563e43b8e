"""Files that a reader sees whole, the old one or the new one, and never a part: written beside, then renamed."""

import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write what a crash of the machine must not take: it is on the disk before it is renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _replace(path, write, on_disk=True)


def write_text(path: Path, text: str) -> None:
    """As `write_atomically`."""
    write_atomically(path, lambda file: file.write(text.encode()))


def write_json(path: Path, value: object) -> None:
    """As `write_atomically`; numbers that JSON lacks are a `ValueError`."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def replace(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write what can be made again: it is renamed without waiting for the disk."""
    _replace(path, write, on_disk=False)


def replace_text(path: Path, text: str) -> None:
    """As `replace`."""
    replace(path, lambda file: file.write(text.encode()))


def _replace(path: Path, write: Callable[[BinaryIO], object], on_disk: bool) -> None:
    # A name that no other thread, process or machine takes.
    beside = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        with beside.open("wb") as file:
            write(file)
            if on_disk:
                file.flush()
                os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
