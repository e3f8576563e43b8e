"""`sota-exp rerun`: bit-identical, with changes, and of an unfinished run."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from sota_exp.cli import main
from sota_exp.runs.digests import write_checked_text
from sota_exp.runs.find import SavedRun
from tests.experiments import TINY


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One real run, `outputs/one`, in a working directory of its own."""
    place = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        assert (
            main.run_command_line(["train", *TINY, "recipe=baseline", "optimizer.lr=0.05", "hydra.run.dir=outputs/one"])
            == 0
        )
    return place


@pytest.fixture(autouse=True)
def place(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["sota-exp"])
    return tmp_path


def read_output(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main.run_command_line(["rerun", *arguments]) == 0
    return " ".join(capsys.readouterr().out.split())


def others(place: Path) -> list[Path]:
    return sorted(path for path in (place / "outputs").iterdir() if path.name != "one")


def test_the_same_again_is_identical_to_the_bit(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = read_output(capsys, "one")
    assert "Identical to the bit with outputs/one: 2 epochs of metrics," in text and "predictions, weights." in text
    (again,) = others(place)
    assert again.name.startswith("one-rerun-")
    assert SavedRun.read(again).config == SavedRun.read(place / "outputs" / "one").config
    assert "Identical to the bit" in read_output(capsys, "one"), "the finished one is found again"
    assert others(place) == [again]


def test_changed_it_is_compared(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = read_output(capsys, "outputs/one", "seed=1", "augmentation/flip=none")
    for words in (
        "changed: seed: 0 → 1",
        "changed: augmentation/flip: random → none",
        "A outputs/one 0 finished",
        "B − A",
    ):
        assert words in text
    (again,) = others(place)
    assert (SavedRun.read(again).seed, SavedRun.read(again).choices["augmentation/flip"]) == (1, "none")
    assert "Identical" not in text


def test_other_numbers_of_the_same_training_are_shown(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = place / "outputs" / "one" / "result.json"
    result = json.loads(path.read_text())
    result["metrics"]["test/loss"] += 1e-9
    write_checked_text(path, json.dumps(result | {"versions": {**result["versions"], "torch": "2.9.0"}}))
    text = read_output(capsys, "one")
    assert "Not identical with outputs/one." in text and "test/loss" in text
    assert "The probable reason: torch: 2.9.0 →" in text


def test_a_killed_run_is_trained_from_its_start(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("result.json", "digests.json"):
        (place / "outputs" / "one" / name).unlink()
    text = read_output(capsys, "one")
    assert "outputs/one is" in text and "trained from the start" in text
    assert "Identical to the bit with outputs/one: 2 epochs of metrics." in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "rerun needs a run first"),
        (["seed=1"], "seed=1: no such directory"),
        (["one", "augmentation/flip=rnadom"], "Did you mean random?"),
        (["one", "hydra.run.dir=outputs/one"], "is the run itself; choose another directory"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run_command_line(["rerun", *arguments]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1 and message in errors[0]


def test_an_evaluation_trained_nothing(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run_command_line(["evaluate", "run=outputs/one", "hydra.run.dir=outputs/scored"]) == 0
    assert main.run_command_line(["rerun", "scored"]) == 2
    assert "outputs/scored is an evaluation, which trained nothing" in capsys.readouterr().err


HOSTILE = {
    "a value is an interpolation": ({"recipe": {"name": "${oc.env:SECRET}"}}, {}, None),
    "a resolver of Hydra": ({"recipe": {"name": "${hydra:runtime.cwd}"}}, {}, None),
    "Hydra's own keys": ({"hydra": {"job_logging": {"formatters": {"simple": {"format": "evil"}}}}}, {}, "hydra."),
    "a key with an override in it": ({"recipe": {"name=x,hydra.run.dir=evil": 1}}, {}, "recipe.name=x"),
    "an option that is a path": ({}, {"augmentation/mix": "../../evil,x"}, "../../evil,x"),
    "an option of Hydra": ({}, {"hydra/launcher": "evil"}, "hydra/launcher"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_strangers_run_sets_values_and_nothing_else(place, case, capsys, monkeypatch):
    values, choices, refusal = HOSTILE[case]
    monkeypatch.setenv("SECRET", "canary")
    run = place / "outputs" / "one"
    (run / "digests.json").unlink()
    config = yaml.safe_load((run / "config.yaml").read_text())
    for name, node in values.items():
        config[name] = config.get(name, {}) | node
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    result = json.loads((run / "result.json").read_text())
    result["choices"] |= choices
    (run / "result.json").write_text(json.dumps(result))
    status = main.run_command_line(["rerun", "outputs/one", "hydra.run.dir=outputs/again"])
    output = capsys.readouterr()
    if refusal:
        assert status == 2 and output.err.startswith(f"sota-exp: {refusal}") and output.err.count("\n") == 1
    else:
        assert status == 0
        written = (place / "outputs" / "again" / "config.yaml").read_text()
        assert next(iter(values.values()))["name"] in written
    files = [path for path in place.rglob("*") if path.is_file()]
    assert not any(b"canary" in path.read_bytes() for path in files)
