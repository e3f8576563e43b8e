"""`sota-exp explain`: says what train would do, leaves nothing behind, and refuses what train refuses."""

import json
import sys

import pytest

from sota_exp.cli.main import run
from sota_exp.config.catalog import options
from sota_exp.config.hydra_compose import conf_directory
from tests.experiments import TINY
from tests.options import ROOT


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["sota-exp"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    return tmp_path


def said_of(capfd, *arguments: str) -> str:
    assert run(["explain", *arguments]) == 0
    return " ".join(capfd.readouterr().out.split())


def test_it_says_techniques_plan_and_cost_and_leaves_nothing(capfd, elsewhere):
    said = said_of(capfd, *TINY, "recipe=torchvision")
    for words in (
        "torchvision on fake",
        "augmentation/policy=trivialaugment",
        "arXiv:2103.10158",
        "2 epochs × 3 steps = 6 steps",
        "16 images a step",
        "learning rate",
        "nothing is there yet",
        "6 steps on cpu",
        "MiB at the peak",
    ):
        assert words in said
    assert list(elsewhere.iterdir()) == []


def test_without_measuring_there_is_no_cost(capfd):
    said = said_of(capfd, *TINY, "--no-measure")
    assert "The plan" in said and "The cost" not in said


def test_options_that_do_nothing_are_not_listed(capfd):
    said = said_of(capfd, *TINY, "--no-measure", "augmentation=none")
    assert "augmentation/flip" in said_of(capfd, *TINY, "--no-measure") and "augmentation/flip" not in said


def test_what_every_training_has_stands_apart(capfd):
    said = said_of(capfd, *TINY, "--no-measure", "loss=cross_entropy", "schedule/stepping=epoch")
    on, plain = said.split("What is plain")
    assert "schedule/stepping=epoch" in on and "loss=cross_entropy" not in on
    assert plain.startswith(" evaluation/resolution=fixed, loss=cross_entropy, schedule/length=standard Rules")


def test_a_warning_is_shown_with_its_mend(capfd):
    said = said_of(capfd, *TINY, "--no-measure", "schedule/early_stopping=patience")
    assert "warning a schedule that is cut short" in said and "Instead: schedule/lr=step" in said


def test_an_error_is_shown_and_is_status_2(capfd, elsewhere):
    assert run(["explain", *TINY, "augmentation/train_size=fixres", "augmentation/crop=none"]) == 2
    said = capfd.readouterr()
    assert "error" in said.out and "What is on" in said.out and "The plan" not in said.out
    assert said.err.count("\n") == 1 and "augmentation/train_size=fixres" in said.err
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("arguments", ["augmentation/mix=cutmixx", "data=image_folder", "optimizer.lr=high"])
def test_mistakes_are_those_of_train(arguments, capfd):
    assert run(["explain", arguments]) == run(["train", arguments]) == 2
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 2 and lines[0] == lines[1]


def test_a_run_that_is_there_is_said_and_left_as_it_is(capfd, elsewhere):
    overrides = [*TINY, "schedule.length.epochs=1", "tracking=none"]
    assert run(["train", *[item for item in overrides if item != "schedule.length.epochs=2"]]) == 0
    before = {path: path.stat().st_mtime_ns for path in elsewhere.rglob("*")}
    capfd.readouterr()
    said = said_of(capfd, *[item for item in overrides if item != "schedule.length.epochs=2"], "--no-measure")
    assert "a run is there: finished" in said
    assert {path: path.stat().st_mtime_ns for path in elsewhere.rglob("*")} == before


def test_several_are_explained_one_after_the_other(capfd):
    said = said_of(capfd, *TINY, "-m", "seed=0,1", "--no-measure")
    assert "seed 0" in said and "seed 1" in said


def test_help_needs_nothing(capfd):
    assert run(["explain", "--help"]) == 0
    assert "--no-measure" in capfd.readouterr().out


def test_every_option_is_either_neutral_or_has_words_of_its_own():
    for option in options(conf_directory(), ROOT / "sota_exp"):
        assert option.summary and json.dumps(option.defaults)
        assert option.is_neutral or option.cited or option.group.split("/")[0] in ("data", "tracking", "model")
