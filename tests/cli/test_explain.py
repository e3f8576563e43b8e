"""`sota-exp explain`: prints what train would do, leaves no files, and refuses what train refuses."""

import json
import sys
from types import SimpleNamespace

import pytest

from sota_exp import CONF
from sota_exp.cli.main import run_command_line
from sota_exp.config.catalog import load_catalog
from sota_exp.preview.explain import describe_few_images
from tests.experiments import TINY
from tests.options import ROOT


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["sota-exp"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    return tmp_path


def read_output(capfd, *arguments: str) -> str:
    assert run_command_line(["explain", *arguments]) == 0
    return " ".join(capfd.readouterr().out.split())


def test_it_prints_techniques_plan_and_cost_and_leaves_no_files(capfd, elsewhere, monkeypatch):
    monkeypatch.setattr("sota_exp.cli.explain.MEASURE_SECONDS", 60.0)  # all of the training's steps
    output = read_output(capfd, *TINY, "recipe=torchvision")
    for words in (
        "torchvision on fake",
        "augmentation/policy=trivialaugment",
        "arXiv:2103.10158",
        "2 epochs × 3 steps = 6 steps",
        "16 images per step",
        "learning rate",
        "nothing is there yet",
        "6 steps on cpu",
        "MiB at the peak",
        "on a GPU about",
        "activations of 16 images",
    ):
        assert words in output
    assert list(elsewhere.iterdir()) == []


def test_a_step_that_memory_has_no_room_for_is_not_measured(capfd, monkeypatch):
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=1024, total=2048))
    output = read_output(capfd, *TINY)
    assert "Not measured: a step needs about 0.0 GiB of memory, and 0.0 are free; try a smaller" in output
    assert "The plan" in output and "The cost" not in output


@pytest.mark.parametrize(
    ("num_train", "parameters", "weights", "is_told"),
    [
        (192, 11e6, "scratch", True),
        (192, 11e6, "pretrained", False),
        (192, 2e5, "scratch", False),
        (400, 11e6, "scratch", False),
    ],
)
def test_few_images_for_a_large_network_are_told(num_train, parameters, weights, is_told):
    plan = SimpleNamespace(
        counts={"train": num_train}, num_classes=4, parameters=parameters, trained_parameters=parameters
    )
    told = describe_few_images(plan, weights)
    assert bool(told) == is_told
    assert is_told == told.startswith("Warning: 48 training images of a class are few for 11.0 M parameters")
    assert is_told == ("Instead: recipe=few_images" in told)


def test_without_measuring_there_is_no_cost(capfd):
    output = read_output(capfd, *TINY, "--no-measure")
    assert "The plan" in output and "The cost" not in output


def test_options_that_do_nothing_are_not_listed(capfd):
    output = read_output(capfd, *TINY, "--no-measure", "augmentation=none")
    assert "augmentation/flip" in read_output(capfd, *TINY, "--no-measure") and "augmentation/flip" not in output


def test_plain_options_are_listed_separately(capfd):
    output = read_output(capfd, *TINY, "--no-measure", "loss=cross_entropy", "schedule/stepping=epoch")
    on, plain = output.split("What is plain")
    assert "schedule/stepping=epoch" in on and "loss=cross_entropy" not in on
    assert plain.startswith(" evaluation/resolution=fixed, loss=cross_entropy, schedule/length=standard Rules")


def test_a_warning_is_printed_with_its_fix(capfd):
    output = read_output(capfd, *TINY, "--no-measure", "schedule/early_stopping=patience")
    assert "warning early stopping ends the schedule" in output and "Instead: schedule/lr=step" in output


def test_an_error_is_printed_and_is_status_2(capfd, elsewhere):
    assert run_command_line(["explain", *TINY, "augmentation/train_size=fixres", "augmentation/crop=none"]) == 2
    output = capfd.readouterr()
    assert "error" in output.out and "What is on" in output.out and "The plan" not in output.out
    assert output.err.count("\n") == 1 and "augmentation/train_size=fixres" in output.err
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("arguments", ["augmentation/mix=cutmixx", "data=image_folder", "optimizer.lr=high"])
def test_mistakes_are_those_of_train(arguments, capfd):
    assert run_command_line(["explain", arguments]) == run_command_line(["train", arguments]) == 2
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 2 and lines[0] == lines[1]


def test_an_existing_run_is_reported_and_not_changed(capfd, elsewhere):
    overrides = [*TINY, "schedule.length.epochs=1", "tracking=none"]
    assert run_command_line(["train", *[item for item in overrides if item != "schedule.length.epochs=2"]]) == 0
    before = {path: path.stat().st_mtime_ns for path in elsewhere.rglob("*")}
    capfd.readouterr()
    output = read_output(capfd, *[item for item in overrides if item != "schedule.length.epochs=2"], "--no-measure")
    assert "a run is there: finished" in output
    assert {path: path.stat().st_mtime_ns for path in elsewhere.rglob("*")} == before


def test_several_are_explained_one_after_the_other(capfd):
    output = read_output(capfd, *TINY, "-m", "seed=0,1", "--no-measure")
    assert "seed 0" in output and "seed 1" in output


def test_help_needs_nothing(capfd):
    assert run_command_line(["explain", "--help"]) == 0
    assert "--no-measure" in capfd.readouterr().out


def test_every_option_is_neutral_or_has_a_description():
    for option in load_catalog(CONF, ROOT / "sota_exp"):
        assert option.summary and json.dumps(option.defaults)
        assert option.is_neutral or option.short_citation or option.group.split("/")[0] in ("data", "tracking", "model")
