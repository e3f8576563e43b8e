"""What is known of a run when it starts: `start.json`, for whoever shows the run elsewhere while it trains."""

import getpass
import json
import os
import socket
import time
import uuid
from pathlib import Path
from typing import Any

import psutil

from sota_exp.config.formats import FORMAT
from sota_exp.runs.atomic import write_json
from sota_exp.stages.data import DataSet


def write_start(directory: Path, result: dict[str, Any], data: dict[str, Any]) -> str:
    """Write it; the name of this start, which the result bears when it comes.

    `id` and `time` stay those of the first start of the same run when it goes on after an interruption; `start` does not.
    """
    path = directory / "start.json"
    before = json.loads(path.read_text()) if path.exists() else {}
    is_same = before.get("fingerprint") == result["fingerprint"]
    start = uuid.uuid4().hex
    facts = {
        "format": FORMAT,
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
    except (KeyError, OSError):  # A container's user without a name.
        return None


def data_facts(tree: dict[str, Any], data: DataSet) -> dict[str, Any]:
    """The set's name, the digest of its content, its classes, and how many images each split has."""
    counts = {split: len(vars(data)[split]) for split in ("train", "val", "test")}
    return {"name": tree["data"]["name"], "digest": data.digest, "classes": list(data.classes), "counts": counts}
