"""Writes `start.json`: facts about a run at its start, for tracking while it trains."""

import logging
import socket
import time
import uuid
from pathlib import Path
from typing import Any

from sota_exp.config.formats import FILE_FORMAT
from sota_exp.errors import DamagedFile
from sota_exp.runs.digests import read_object, write_checked_json
from sota_exp.runs.lock import find_user
from sota_exp.stages.data import DataSet

log = logging.getLogger(__name__)


def write_start(directory: Path, result: dict[str, Any], data: dict[str, Any]) -> str:
    """Write `start.json` and return the id of this start, which the result will contain.

    A resumed run keeps `id` and `time` of its first start; `start` is new.
    """
    path = directory / "start.json"
    try:
        before = read_object(path, "id", "time") or {}
    except DamagedFile as error:
        log.warning("%s. The run gets a new id", error)
        before = {}
    is_same = before.get("fingerprint") == result["fingerprint"]
    start = uuid.uuid4().hex
    facts = {
        "format": FILE_FORMAT,
        "start": start,
        "id": before["id"] if is_same else uuid.uuid4().hex,
        "time": before["time"] if is_same else time.time(),
        "host": socket.gethostname(),
        "user": find_user(),
        "data": data,
        **{name: result[name] for name in ("fingerprint", "choices", "device", "commit", "parameters", "resumed")},
    }
    write_checked_json(path, facts)
    return start


def build_data_facts(tree: dict[str, Any], data: DataSet) -> dict[str, Any]:
    """Name, digest, classes and images per split of the data set."""
    return {
        "name": tree["data"]["name"],
        "digest": data.digest,
        "classes": list(data.classes),
        "counts": data.count_images(),
    }
