"""`sota-exp sync` where a run cannot be sent: one line reports it, and the other runs are sent."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from sota_exp.cli import sync
from sota_exp.errors import RunFailed
from sota_exp.runs.own_key import TRUST_VARIABLE
from sota_exp.runs.sent_position import SentPosition
from tests.run_directories import write_run


@pytest.fixture(autouse=True)
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TRUST_VARIABLE, "1")


def test_a_run_that_cannot_be_sent_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    runs = [write_run(tmp_path / "outputs" / name) for name in ("a", "b", "c", "d")]
    (runs[0] / "config.yaml").write_text("tracking: [unclosed")
    SentPosition(uri="http://127.0.0.1:57O2", experiment="e").write(runs[1])
    (runs[2] / "tracking.json").mkdir()

    def send(directory: Path, position: SentPosition, is_named: bool, stores: sync.Stores) -> str:
        stores.missing.append(3 if directory.name == "d" else 1 // 0)
        return ""

    monkeypatch.setattr(sync, "_send_run", send)
    with pytest.raises(RunFailed, match="3 of 4 runs are not sent"):
        sync.main([str(tmp_path / "outputs")])
    output = capsys.readouterr().out.splitlines()
    assert [line.split(": ", 1)[-1] for line in output] == [
        "ZeroDivisionError: integer division or modulo by zero",
        "http://127.0.0.1:57O2 is not a URL",
        "ZeroDivisionError: integer division or modulo by zero",
        "1 run sent, 3 things were missing",
    ]
    assert sync.Stores(ids=[], missing=[2, 0, 1000]).describe() == (
        "2 runs sent, 1,002 things were missing; 1 run: nothing was missing"
    )


def test_a_silent_run_of_another_host_is_sent_when_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "outputs" / "run", status=None, host="elsewhere")
    sent: list[str] = []
    upload = SimpleNamespace(look_up=lambda ids: None, send=lambda content: sent.append(content.mlflow_status) or 1)
    monkeypatch.setattr("sota_exp.tracking.mlflow_upload.MLflowUpload.open", lambda position: upload)
    sync.main(["outputs"])
    assert "is training on elsewhere" in capsys.readouterr().out and not sent
    sync.main(["outputs/run"])
    assert sent == ["KILLED"]


@pytest.mark.parametrize("kind, num", [("study", 1), ("sweep", 1), ("nothing", 0)])
@pytest.mark.parametrize("problem, output", [(None, "its own page is up to date"), ("away", "not up to date: away")])
def test_the_page_of_a_study_or_sweep_is_sent_too(
    kind: str,
    num: int,
    problem: str | None,
    output: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    parent = tmp_path / "multirun" / "p"
    (parent / "0").mkdir(parents=True)
    (parent / f"{kind}.json").write_text("{}")
    for number in range(2):
        run = write_run(parent / str(number))
        SentPosition(uri="sqlite:///x.db", experiment="e", origin={"parent": str(parent)}).write(run)
    monkeypatch.setattr(sync, "_send_run", lambda *_: "")
    sent: list[tuple[Path, str, str]] = []
    monkeypatch.setattr(
        "sota_exp.tracking.mlflow_parent.update_parent_run", lambda *given: [sent.append(given), problem][1]
    )
    sync.main([str(parent)])
    assert sent == [(parent, "sqlite:///x.db", "e")] * num
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(f"{parent}: ")]
    assert len(lines) == num and all(output in line for line in lines)


def test_a_store_that_cannot_be_opened_is_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = write_run(tmp_path / "outputs" / "run")
    SentPosition(uri="http://right", experiment="e", run_id="r").write(run)
    with pytest.raises(RunFailed, match="1 of 1 runs"):
        sync.main([str(run), "--uri", "sqlite:////proc/no/mlflow.db"])
    assert (SentPosition.read(run).uri, SentPosition.read(run).run_id) == ("http://right", "r")


def test_the_server_of_somebody_elses_run_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(TRUST_VARIABLE)
    monkeypatch.chdir(tmp_path)
    parent = tmp_path / "multirun" / "p"
    run = write_run(parent / "0")
    (parent / "study.json").write_text("{}")
    SentPosition(uri="http://127.0.0.1:9", experiment="e", origin={"parent": str(parent)}).write(run)
    asked: list[str] = []
    monkeypatch.setattr(sync, "find_connection_problem", lambda uri, _: asked.append(uri) or "away")
    monkeypatch.setattr("sota_exp.tracking.mlflow_parent.find_connection_problem", lambda uri, _: asked.append(uri))
    with pytest.raises(RunFailed, match="1 of 1 runs are not sent"):
        sync.main([str(run)])
    line = capsys.readouterr().out
    assert "tracking.uri (--uri here)=http://127.0.0.1:9" in line and "--trust" in line and asked == []
    for given, expected in ((["--uri=http://127.0.0.1:7"], "http://127.0.0.1:7"), ([], "http://127.0.0.1:9")):
        if not given:
            monkeypatch.setenv(TRUST_VARIABLE, "1")
        with pytest.raises(RunFailed):
            sync.main([str(run), *given])
        assert asked == [expected]
        asked.clear()
