"""`sota-exp compare` on small run directories."""

import json
from pathlib import Path

import pytest

from sota_exp.cli.main import run_command_line
from tests.finished_runs import make, right


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for seed in range(2):
        make(Path("multirun/sweep") / str(seed), seed)
        make(Path("multirun/sweep") / str(seed + 2), seed, {"optimizer.lr": 0.1}, correct=right(32 + seed))
    return tmp_path


def read_output(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run_command_line(["compare", *arguments]) == 0
    return capsys.readouterr().out


def test_a_sweep_is_compared_by_arm(capsys: pytest.CaptureFixture[str]) -> None:
    text = read_output(capsys, "multirun/sweep")
    for words in ("multirun/sweep/{0,1}", "multirun/sweep/{2,3}", "optimizer.lr", "test accuracy, %", "95 %: seeds"):
        assert words in text


def test_each_run_in_a_column(capsys: pytest.CaptureFixture[str]) -> None:
    text = read_output(capsys, "sweep", "--each")
    assert ["seed", "0", "1", "0", "1"] in [line.split() for line in text.splitlines()]
    assert "D − A" in text


def test_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(read_output(capsys, "--json", "sweep/0", "sweep/2"))
    assert [group["seeds"] for group in found["groups"]] == [[0], [0]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "compare needs RUN"),
        (["--eech", "sweep"], "--eech: no such option of compare; legal: --each, --json"),
        ([__file__], f"{__file__}: a file, not a folder, and no run below"),
        (["nothing"], "nothing: no such directory, and no run below"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["compare", *arguments]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1 and message in errors[0]
