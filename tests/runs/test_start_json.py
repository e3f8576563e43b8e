"""`start.json`: a resumed run keeps the id and the time of its first start."""

import json
from pathlib import Path
from typing import Any

from sota_exp.runs.start_json import write_start

RESULT = {"fingerprint": "f", "choices": {}, "device": "cpu", "commit": None, "parameters": 1, "resumed": 0}


def started(directory: Path, **changes: object) -> dict[str, Any]:
    write_start(directory, RESULT | changes, {"name": "fake"})
    facts: dict[str, Any] = json.loads((directory / "start.json").read_text())
    return facts


def test_a_resumed_run_keeps_id_and_time(tmp_path: Path) -> None:
    first, second = started(tmp_path), started(tmp_path, resumed=1)
    assert (first["id"], first["time"]) == (second["id"], second["time"])
    assert second["resumed"] == 1


def test_every_start_has_a_name_of_its_own(tmp_path: Path) -> None:
    names = [write_start(tmp_path, RESULT, {}) for _ in range(2)]
    assert len(set(names)) == 2
    assert json.loads((tmp_path / "start.json").read_text())["start"] == names[1]


def test_another_evaluation_is_another_run(tmp_path: Path) -> None:
    assert started(tmp_path)["id"] != started(tmp_path, fingerprint="g")["id"]


def test_equal_runs_elsewhere_have_ids_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert started(tmp_path / "a")["id"] != started(tmp_path / "b")["id"]
