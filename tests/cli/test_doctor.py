"""`sota-exp doctor`: one line per finding, the exit status, and checks that fail."""

import json

import pytest

from sota_exp.cli import doctor
from sota_exp.cli.main import run_command_line
from sota_exp.preview.doctor.finding import build_note, build_ok, build_problem


@pytest.fixture
def checked(monkeypatch):
    """Checks that return the findings of the test."""

    def give(**findings):
        checks = {name: (lambda found=found: found) for name, found in findings.items()}
        monkeypatch.setattr(doctor, "list_checks", lambda *_: checks)

    return give


def broken():
    raise ZeroDivisionError("by zero\nand more")


def test_no_problem_is_status_0(checked, capfd):
    checked(disk=[build_ok("room")], network=[build_note("out of reach", "copy the files")])
    assert run_command_line(["doctor"]) == 0
    output = capfd.readouterr().out
    assert "✓ disk      room" in output and "• network   out of reach" in output and "→ copy the files" in output


def test_a_problem_is_status_1_and_counted(checked, capfd):
    checked(
        disk=[build_problem("full", "remove"), build_problem("slow", "buy")],
        data=[build_ok("fine")],
    )
    assert run_command_line(["doctor"]) == 1
    output = capfd.readouterr()
    assert "✗ disk      full" in output.out and "✓ data      fine" in output.out
    assert output.err == "sota-exp: 2 problems found; each is printed with its fix\n"


def test_a_check_that_fails_is_a_problem_and_the_others_go_on(monkeypatch, capfd):
    monkeypatch.setattr(doctor, "list_checks", lambda *_: {"disk": broken, "data": lambda: [build_ok("fine")]})
    assert run_command_line(["doctor"]) == 1
    output = capfd.readouterr().out
    assert "ZeroDivisionError: by zero" in output and "✓ data      fine" in output


def test_json_contains_all_findings(checked, capfd):
    checked(disk=[build_problem("full", "remove")], data=[build_ok("fine")])
    assert run_command_line(["doctor", "--json"]) == 1
    found = json.loads(capfd.readouterr().out)
    assert [item["state"] for item in found] == ["problem", "ok"] and found[0]["fix"] == "remove"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--data=cifar"], "--data cifar: no such option"),
        (["--yaml"], "--yaml: no such option"),
        (["optimizer.lr=0.1"], "optimizer.lr=0.1: doctor takes no further argument"),
        (["--data=image_folder"], "--root: a value is missing; give one: --root …"),
        (["--device=tpu"], "--device tpu is not legal: auto"),
        (
            ["data=csv", "data.path=x y"],
            "data=csv: doctor takes arguments and options, not keys: sota-exp doctor --data csv --path 'x y'",
        ),
    ],
)
def test_a_wrong_configuration_is_status_2(arguments, words, capfd):
    assert run_command_line(["doctor", *arguments]) == 2
    assert words in capfd.readouterr().err


def test_the_real_checks_on_this_machine(tmp_path, monkeypatch, capfd):
    """All real checks: each finding has one of the three states, and no file is written."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sota_exp.preview.doctor.hosts.is_host_reachable", lambda url: False)
    assert run_command_line(["doctor", "--json", "--data=fake", "--device=cpu"]) in (0, 1)
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
