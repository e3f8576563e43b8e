"""`sota-exp doctor`: every finding in a line, exit status by the worst of them, a failing check does not end the others."""

import json

import pytest

from sota_exp.cli import doctor
from sota_exp.cli.main import run
from sota_exp.preview.doctor.finding import note, ok, problem
from tests.experiments import TINY


@pytest.fixture
def checked(monkeypatch):
    """Checks that find what a test gives."""

    def give(**findings):
        checks = {name: (lambda found=found: found) for name, found in findings.items()}
        monkeypatch.setattr(doctor, "checks", lambda tree: checks)

    return give


def broken():
    raise ZeroDivisionError("by zero\nand more")


def test_all_well_is_status_0(checked, capfd):
    checked(disk=[ok("disk", "room")], network=[note("network", "out of reach", "copy the files")])
    assert run(["doctor"]) == 0
    said = capfd.readouterr().out
    assert "✓ disk      room" in said and "• network   out of reach" in said and "→ copy the files" in said


def test_a_problem_is_status_1_and_counted(checked, capfd):
    checked(disk=[problem("disk", "full", "remove"), problem("disk", "slow", "buy")], data=[ok("data", "fine")])
    assert run(["doctor"]) == 1
    said = capfd.readouterr()
    assert "✗ disk      full" in said.out and "✓ data      fine" in said.out
    assert said.err == "sota-exp: 2 problems found; each is printed with its fix\n"


def test_a_check_that_fails_is_a_problem_and_the_others_go_on(monkeypatch, capfd):
    monkeypatch.setattr(doctor, "checks", lambda tree: {"disk": broken, "data": lambda: [ok("data", "fine")]})
    assert run(["doctor"]) == 1
    said = capfd.readouterr().out
    assert "ZeroDivisionError: by zero" in said and "✓ data      fine" in said


def test_json_holds_every_finding(checked, capfd):
    checked(disk=[problem("disk", "full", "remove")], data=[ok("data", "fine")])
    assert run(["doctor", "--json"]) == 1
    found = json.loads(capfd.readouterr().out)
    assert [item["state"] for item in found] == ["problem", "ok"] and found[0]["mend"] == "remove"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["data=cifar"], "data=cifar: no such option"),
        (["--yaml"], "--yaml: no such option"),
        (["optimizer.lr=high"], "optimizer.lr=high: expected a number"),
        (["data=image_folder"], "data.root: a value is missing"),
    ],
)
def test_a_wrong_configuration_is_status_2(arguments, words, capfd):
    assert run(["doctor", *arguments]) == 2
    assert words in capfd.readouterr().err


def test_here_and_now(tmp_path, monkeypatch, capfd):
    """Every real check; whatever it finds is one of the three words, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sota_exp.preview.doctor.hosts.answers", lambda url: False)
    assert run(["doctor", "--json", *TINY]) in (0, 1)
    found = json.loads(capfd.readouterr().out)
    assert {item["name"] for item in found} >= {
        "packages",
        "device",
        "disk",
        "data",
        "store",
        "runs",
        "weights",
        "network",
    }
    assert {item["state"] for item in found} <= {"ok", "note", "problem"} and list(tmp_path.iterdir()) == []
