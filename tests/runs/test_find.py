"""Runs are found by path, name, prefix or id, and read from their directories."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sota_exp.errors import ConfigError
from sota_exp.runs.find import SavedRun, find_run, find_runs, find_runs_below, list_run_names
from tests.finished_runs import make, right
from tests.run_directories import write_owner


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """outputs/alpha, outputs/alpine, multirun/sweep/{0,2,10}."""
    monkeypatch.chdir(tmp_path)
    for name in ("outputs/alpha", "outputs/alpine", *(f"multirun/sweep/{number}" for number in (0, 2, 10))):
        make(tmp_path / name)
    return tmp_path


def found(word: str) -> list[str]:
    return [SavedRun.read(path).name for path in find_runs(word)]


SWEEP = [f"multirun/sweep/{number}" for number in (0, 2, 10)]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("outputs/alpha", ["outputs/alpha"]),
        ("outputs/alpha/", ["outputs/alpha"]),
        ("outputs", ["outputs/alpha", "outputs/alpine"]),
        ("multirun", SWEEP),
        ("alpha", ["outputs/alpha"]),
        ("alph", ["outputs/alpha"]),
        ("sweep", SWEEP),
        ("swe", SWEEP),
        ("alp", ["outputs/alpha", "outputs/alpine"]),
        ("sweep/", SWEEP),
        ("sweep/2", ["multirun/sweep/2"]),
    ],
)
def test_a_word_finds_these_runs(place: Path, word: str, expected: list[str]) -> None:
    assert found(word) == expected


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("beta", "no such directory, and no run .* Runs there: alpha, alpine, sweep"),
        ("alphaa", "Did you mean alpha"),
        ("f" * 32, "no such directory, and no run"),
        ("empty", "no run in this directory or below it"),
    ],
)
def test_a_word_that_finds_no_run_is_reported(place: Path, word: str, message: str) -> None:
    (place / "empty").mkdir()
    with pytest.raises(ConfigError, match=message):
        find_runs(word)


def test_where_there_are_no_runs_it_says_what_makes_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="none: sota-exp train makes one"):
        find_runs("anything")


def test_mlflow_knows_a_run_by_its_id(place: Path) -> None:
    result = json.loads((place / "multirun/sweep/2/result.json").read_text())
    (place / "multirun/sweep/2/result.json").write_text(json.dumps(result | {"mlflow_run_id": "0a" * 16}))
    (place / "outputs/alpha/tracking.json").write_text(json.dumps({"run_id": "0b" * 16}))
    assert found("0a" * 16) == ["multirun/sweep/2"]
    assert found("0b" * 16) == ["outputs/alpha"]


def test_one_run_is_not_several(place: Path) -> None:
    assert find_run("alpha").name == "outputs/alpha"
    with pytest.raises(ConfigError, match="sweep means 3 runs; name one: multirun/sweep/0"):
        find_run("sweep")
    with pytest.raises(ConfigError, match="alp means 2 runs; name one: outputs/alpha, outputs/alpine"):
        find_run("alp")


def test_every_name_and_its_runs(place: Path) -> None:
    assert {name: len(runs) for name, runs in list_run_names().items()} == {
        "alpha": 1,
        "alpine": 1,
        "sweep": 3,
        "sweep/0": 1,
        "sweep/2": 1,
        "sweep/10": 1,
    }


def test_a_run_inside_a_run_is_not_looked_for(place: Path) -> None:
    make(place / "outputs/alpha/inside")
    assert [path.name for path in find_runs_below(place / "outputs")] == ["alpha", "alpine"]
    (place / "outputs/killed").mkdir()
    (place / "outputs/killed/config.yaml").touch()
    found = find_runs_below(place / "outputs", nested=True)
    assert [path.name for path in found] == ["alpha", "inside", "alpine", "killed"]


def test_what_a_finished_run_says(tmp_path: Path) -> None:
    run = SavedRun.read(make(tmp_path / "run", seed=4, correct=right(30)))
    assert (run.seed, run.status, run.is_complete, run.is_evaluation) == (4, "finished", True, False)
    assert run.metrics["test/accuracy"] == 0.75
    assert run.correct("test") is not None and run.correct("test").tolist() == right(30)
    assert run.labels("test").tolist() == [0, 1] * 20
    assert set(run.predictions()) == {f"{split}_{kind}" for split in ("val", "test") for kind in KINDS}
    assert run.environment["torch"] == "2.14.0" and run.environment["data digest"] == "d" * 64


KINDS = ("labels", "correct", "logits")


@pytest.mark.parametrize(
    ("status", "pid", "expected"),
    [
        ("failed", None, "failed"),
        ("interrupted", None, "interrupted"),
        (None, None, "running"),
        (None, 2**22 + 1, "killed"),
    ],
)
def test_a_run_without_scores(tmp_path: Path, status: str | None, pid: int | None, expected: str) -> None:
    directory = make(tmp_path / "run", status=status)
    if pid is not None:
        write_owner(directory, pid=pid)
    run = SavedRun.read(directory)
    assert (run.status, run.is_complete, run.metrics) == (expected, False, {})
    assert run.correct("test") is None and run.predictions() == {}


@pytest.mark.parametrize("text", ["{", "[1, 2]", '{"status": "finished"}'])
def test_files_of_something_else(tmp_path: Path, text: str) -> None:
    directory = make(tmp_path / "run")
    (directory / "result.json").write_text(text)
    with pytest.raises(ConfigError, match="is not the directory of a run"):
        SavedRun.read(directory)


def test_labels_are_read_once(tmp_path: Path) -> None:
    run = SavedRun.read(make(tmp_path / "run"))
    assert np.shares_memory(run.labels("test"), run.labels("test"))


def test_looking_at_runs_imports_neither_torch_nor_hydra_nor_mlflow() -> None:
    heavy = "{'torch', 'hydra', 'mlflow'}"
    code = f"import sota_exp.report.comparison.compare_runs, sys; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
