import logging
import os

import pytest

from sota_exp.cli.main import run_command_line
from sota_exp.runs.environment import changed_environment, get_rank, only_the_first_speaks


def test_variables_hold_for_a_while_only(monkeypatch):
    monkeypatch.setenv("SOTA_EXP_KEPT", "before")
    monkeypatch.delenv("SOTA_EXP_NEW", raising=False)
    with changed_environment({"SOTA_EXP_KEPT": "now", "SOTA_EXP_NEW": "1"}):
        assert (os.environ["SOTA_EXP_KEPT"], os.environ["SOTA_EXP_NEW"]) == ("now", "1")
    assert os.environ["SOTA_EXP_KEPT"] == "before" and "SOTA_EXP_NEW" not in os.environ


@pytest.mark.parametrize(("rank", "speaks"), [(None, True), ("0", True), ("1", False), ("7", False)])
def test_of_torchruns_processes_only_the_first_speaks(monkeypatch, capsys, caplog, rank, speaks):
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setenv("WORLD_SIZE", "8")
    if rank is not None:
        monkeypatch.setenv("RANK", rank)
    with only_the_first_speaks():
        print("a result")
        logging.getLogger("sota_exp").warning("a warning")
        logging.getLogger("sota_exp").error("an error")
    print("afterwards")
    assert get_rank() == int(rank or 0)
    assert capsys.readouterr().out == ("a result\n" if speaks else "") + "afterwards\n"
    assert [record.message for record in caplog.records] == [*["a warning"] * speaks, "an error"]


@pytest.mark.parametrize("size", [None, "1"])
def test_a_process_alone_speaks_whatever_its_rank(monkeypatch, capsys, size):
    """Launchers of other programs set `RANK` too."""
    monkeypatch.setenv("RANK", "3")
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    if size is not None:
        monkeypatch.setenv("WORLD_SIZE", size)
    assert run_command_line(["techniques"]) == 0
    assert "CutMix" in capsys.readouterr().out


@pytest.mark.parametrize(("rank", "said"), [("0", "sota-exp: "), ("3", "sota-exp: process 3: ")])
def test_an_error_names_its_process(monkeypatch, capsys, rank, said):
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert run_command_line(["no-such-command"]) == 2
    assert capsys.readouterr().err.startswith(said)


@pytest.mark.parametrize("command", [["sweep", "search=learning_rate"], ["ablate", "study=ladder"]])
def test_a_command_that_starts_jobs_of_its_own_refuses_torchrun(monkeypatch, capsys, command):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert run_command_line(command) == 2
    assert capsys.readouterr().err.startswith(f"sota-exp: {command[0]} starts its own jobs: run it without torchrun")
