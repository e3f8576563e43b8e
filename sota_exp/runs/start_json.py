"""Writes `start.json`: facts about a run at its start, for tracking while it trains."""

import getpass
import os
import socket
import time
import uuid
from pathlib import Path
from typing import Any

import psutil

from sota_exp.config.formats import FILE_FORMAT
from sota_exp.runs.atomic import read_json, write_json
from sota_exp.stages.data import DataSet


def write_start(directory: Path, result: dict[str, Any], data: dict[str, Any]) -> str:
    """Write `start.json` and return the id of this start, which the result will contain.

    A resumed run keeps `id` and `time` of its first start; `start` is new.
    """
    path = directory / "start.json"
    before = read_json(path) or {}
    is_same = before.get("fingerprint") == result["fingerprint"]
    start = uuid.uuid4().hex
    facts = {
        "format": FILE_FORMAT,
        "start": start,
        "id": before["id"] if is_same else uuid.uuid4().hex,
        "time": before["time"] if is_same else time.time(),
        "pid": os.getpid(),
        "born": psutil.Process().create_time(),
        "host": socket.gethostname(),
        "user": _user(),
        "data": data,
        **{name: result[name] for name in ("fingerprint", "choices", "device", "commit", "parameters", "resumed")},
    }
    write_json(path, facts)
    return start


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # In a container, the user may have no name.
        return None


def build_data_facts(tree: dict[str, Any], data: DataSet) -> dict[str, Any]:
    """Name, digest, classes and images per split of the data set."""
    return {
        "name": tree["data"]["name"],
        "digest": data.digest,
        "classes": list(data.classes),
        "counts": data.count_images(),
    }
