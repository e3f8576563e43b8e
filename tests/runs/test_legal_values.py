"""The values that a run's JSON files may have: those that runs write are legal, those that break readers are not."""

import json

import pytest

from sota_exp.errors import DamagedFile
from sota_exp.runs.digests import read_json, read_json_lines
from sota_exp.runs.legal_values import find_illegal
from sota_exp.runs.result_json import build_empty_result

EPOCH = {"epoch": 1, "step": 3, "seconds": 0.5, "validate_seconds": 0.1, "images_per_second": 9.0, "val/loss": None}

#: (file, key, value) that was a traceback or NaN in a command that reads runs.
ILLEGAL = [
    ("result.json", "status", -1),
    ("result.json", "status", "done"),
    ("result.json", "choices", -1),
    ("result.json", "choices", {"loss": None}),
    ("result.json", "choices", {"evaluation/tta": []}),
    ("result.json", "metrics", {"test/accuracy": "x"}),
    ("result.json", "metrics", {"test/accuracy": -5.5}),
    ("result.json", "metrics", {"test/accuracy": True}),
    ("result.json", "metrics", {"test/loss": []}),
    ("result.json", "evaluated_images", {"test": -1}),
    ("result.json", "seconds", None),
    ("result.json", "confusion_matrix", [[1], "x"]),
    ("start.json", "time", "x"),
    ("start.json", "choices", []),
    ("metrics.jsonl", "val/loss", "x"),
    ("metrics.jsonl", "epoch", None),
    ("metrics.jsonl", "seconds", []),
]


@pytest.mark.parametrize("name, key, value", ILLEGAL)
def test_a_value_that_no_run_writes_is_named(tmp_path, name, key, value):
    path, whole = tmp_path / name, EPOCH if name == "metrics.jsonl" else {}
    path.write_text(json.dumps(whole | {key: value}) + "\n")
    with pytest.raises(DamagedFile, match=rf"{name} is damaged: it has .*{key}=.*, which no run writes"):
        (read_json_lines if name == "metrics.jsonl" else read_json)(path)


def test_what_runs_write_is_legal():
    empty = build_empty_result(0, {"loss": "cross_entropy"}, ("a", "b"))
    assert find_illegal("result.json", empty) is None
    assert find_illegal("metrics.jsonl", EPOCH) is None
    assert find_illegal("study.json", {"metrics": "other files have other keys"}) is None
    assert find_illegal("result.json", ["no object"]) is None


def test_numbers_that_are_none_are_read_as_null(tmp_path):
    """Older versions wrote them, of runs that diverged."""
    (tmp_path / "result.json").write_text('{"metrics": {"val/loss": NaN, "test/loss": Infinity}}')
    assert read_json(tmp_path / "result.json") == {"metrics": {"val/loss": None, "test/loss": None}}
