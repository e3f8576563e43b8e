"""`sota-exp ablate` on the smallest real study: its files and output, mistakes, and resuming."""

import contextlib
import io
import json
import random
import shlex
import shutil
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from sota_exp import CONF
from sota_exp.cli.ablate import build_directory_override
from sota_exp.cli.ablate_run import format_prediction
from sota_exp.cli.main import run_command_line
from sota_exp.config.formats import read_config
from sota_exp.study.files import StudyFiles
from tests.conftest import only_make_charts
from tests.experiments import TINY
from tests.forked import Program
from tests.options import ROOT
from tests.study.studies import chain, study, write_all

SMALL = [item for item in TINY if not item.startswith("schedule.length")]
OVERRIDES = [*SMALL, "scale.epochs=1", "scale.long_epochs=2", "evaluation/resolution=search"]
STUDY = ["ablate", "study=ladder", "study.only=[ema,inference_resize]", "hydra.sweep.dir=study"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def small(*more: str) -> list[str]:
    return [
        *STUDY,
        *[item for item in OVERRIDES if not item.startswith("evaluation")],
        "augmentation/train_size=native",
        *more,
    ]


def broken(change: str) -> list[str]:
    """A study with a sound arm and one, of a technique of the user's, that changes something wrong."""
    mine = f"+study.techniques.mine={{with: ['{change}'], without: []}}"
    return ["ablate", "study=add_one_in", "study.only=[mine,ema]", mine, *OVERRIDES, "hydra.sweep.dir=study"]


def finished(study: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in study.glob("runs/*/*/result.json")}


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, int], str]:
    """A study that has run with one seed, then with two: its directory, the results of the first time, what it said."""
    directory, said = tmp_path_factory.mktemp("extended"), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said):
        patch.chdir(directory)
        only_make_charts(patch)
        assert run_command_line(small("study.seeds=1")) == 0
        first = finished(directory / "study")
        assert run_command_line(small("study.seeds=2")) == 0
    return directory, first, said.getvalue()


def test_a_study_whose_weights_cannot_be_fetched_ends_before_its_first_run(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    def unreachable(self: object, **options: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("torchvision.models.ResNet18_Weights.get_state_dict", unreachable)
    given = [item for item in small("study.seeds=2") if not item.startswith("model.")]
    assert run_command_line([*given, "model/arch=torchvision", "model/weights=pretrained"]) == 1
    assert "cannot download the weights DEFAULT of torchvision's resnet18 (no route" in capfd.readouterr().err
    assert not list((elsewhere / "study").glob("runs/*/*"))
    # A plan is measured with random weights, and says so once.
    assert run_command_line([*given, "model/arch=torchvision", "model/weights=pretrained", "--plan"]) == 0
    plan, said = capfd.readouterr()
    assert said.count("estimated with random weights; the training needs its own") == 1
    assert "not measured" not in plan and "one run after the other" in " ".join(plan.split())


@pytest.mark.usefixtures("charts_only_made")
def test_a_study_runs_once_and_can_be_extended(
    extended: tuple[Path, dict[str, int], str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere, first, output = extended
    monkeypatch.chdir(elsewhere)
    assert "3 arms × 1 seeds" in output and "too few seeds" in output and "study/study.json" in output
    found = json.loads((elsewhere / "study" / "study.json").read_text())
    after = finished(elsewhere / "study")
    assert len(first) == 3 and len(after) == 6 and all(after[path] == mark for path, mark in first.items())
    assert [row["n"] for row in found["arms"]] == [2, 2, 2] and found["status"] == "complete"
    assert found["command"].startswith("sota-exp ablate study=ladder 'study.only=[ema,inference_resize]'")
    ema, resize = (elsewhere / "study" / found["arms"][index]["runs"]["0"] for index in (1, 2))
    weights = [(path / "model.safetensors").read_bytes() for path in (ema, resize)]
    assert weights[0] == weights[1]
    capsys.readouterr()
    assert run_command_line(small("study.seeds=2")) == 0
    assert "nothing is trained" in capsys.readouterr().out and finished(elsewhere / "study") == after


def test_a_plan_trains_nothing(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line([*small("study.seeds=8"), "--plan", "--no-measure"]) == 0
    output = capsys.readouterr().out
    assert "The smallest effect that 8 seeds detect among 2 comparisons" in output and "Seeds needed" in output
    assert not (elsewhere / "study" / "runs").exists()


@pytest.mark.usefixtures("charts_only_made")
def test_a_time_is_planned_then_spent_as_planned(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Six seeds are the fewest that decide an arm, so 17 runs of three arms are refused, and 19 take 18."""
    assert run_command_line([*small("study.time=17runs"), "--plan"]) == 0
    assert "Nothing is recommended" in capsys.readouterr().out and not (elsewhere / "study" / "runs").exists()
    assert run_command_line(small("study.time=17runs")) == 2
    assert "study.time=17runs: no verdict is possible with so few seeds" in capsys.readouterr().err
    timed = small("study.time=19runs", "study.metric=val/accuracy", "data/split=holdout")
    assert run_command_line([*timed, "--plan"]) == 0
    planned = (elsewhere / "study" / "study_plan.json").read_text()
    told = " ".join(capsys.readouterr().out.split())
    assert "→ ladder" in told and " regularization/average=ema " in told
    assert run_command_line(timed) == 0
    output = " ".join(capsys.readouterr().out.split())
    assert "3 arms × 6 seeds" in output and "18 runs to train" in output and "What next" in output
    found = json.loads((elsewhere / "study" / "study.json").read_text())
    assert len(finished(elsewhere / "study")) == 18 and found["plan"]["time"] == json.loads(planned)
    assert found["next"]["lines"] and (elsewhere / "study" / "study_plan.json").read_text() == planned
    assert run_command_line(timed) == 0
    assert "nothing is trained" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ablate"], "ablate needs study=KIND; legal: add_one_in"),
        (["ablate", "study=lader"], "study=lader: no such study"),
        (["ablate", "study=null"], "study=null: no such study; legal: add_one_in, auto, equal_arms, "),
        (["ablate", "study=mine"], "screening. Yours with --config-dir DIR."),
        (small("study.seeds=no"), "study.seeds=no is not legal"),
        (small("study.only=[emma]"), "study.only=emma: no such technique"),
        (small("study.time=2weeks"), "study.time=2weeks is not legal: null, or a positive number of seconds, 90m, 2h"),
        (small("study.time=2h", "study.seeds=3"), "study.time=2h chooses the seeds, and so does study.seeds"),
        ([*small("study.time=2h"), "--no-measure"], "study.time=2h is planned by measured steps: leave --no-measure"),
        (small("study.sedes=3"), "study.sedes: no such key"),
        (small("search=learning_rate"), "not of ablate; sota-exp sweep has it: sota-exp sweep search=learning_rate"),
        (small("hydra.sweeper.foo=1"), "hydra.sweeper.foo: no such key; legal: plan_only, measure."),
        (small("seed=1,2"), "seed=1,2"),
        (small("regularization/average=none", "evaluation/resolution=fixed"), "no arm is left to compare"),
        *(
            (broken(words), f"arm mine: {said}")
            for words, said in {
                "augmentation.policy._target_=my.Invert": "augmentation.policy._target_=my.Invert cannot be imported",
                "augmentation/policy=invert": "augmentation/policy=invert: no such option",
                "optimizer.momentun=0.8": "optimizer.momentun: no such key",
                "optimizer.lr=-1": "optimizer.lr=-1.0 is not legal",
            }.items()
        ),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    arguments: list[str], words: str, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command_line(arguments) == 2
    output = capsys.readouterr().err
    assert words in output and output.count("\n") == 1
    assert not (elsewhere / "study" / "study.json").exists()


def test_a_study_without_a_finished_run_ends_with_status_1(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its data cannot be read, which every run says; the study ended with 0."""
    (elsewhere / "a.csv").write_text("path,label\n/a.jpg,a\n/b.jpg,b\n")
    given = [item for item in small("study.seeds=1") if not item.startswith("data")]
    assert run_command_line([*given, "data=csv", "data.path=a.csv"]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("sota-exp: no run of the study finished; data.path=") and "a.csv is not legal" in said


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (["data=fake"], ["study.seeds=16", "data=fake"], True),
        (["data=fake", "batch_size=8"], ["batch_size=8", "data=fake", "study.looks=[8,12]"], True),
        (["data=fake"], ["study.time=2h", "data=fake"], True),
        (["data=fake"], ["data=fake", "study.looks=anytime", "study.smallest_effect=0.01", "study.seeds=12"], True),
        (["data=fake"], ["data=fake", "batch_size=8"], False),
    ],
)
def test_the_same_command_has_the_same_directory(one: list[str], other: list[str], same: bool) -> None:
    assert (build_directory_override("ladder", one) == build_directory_override("ladder", other)) is same
    assert build_directory_override("ladder", one).startswith("hydra.sweep.dir=multirun/ladder-fake-")


def started(directory: Path) -> Program:
    directory.mkdir(exist_ok=True)
    return Program(*small("study.seeds=2"), cwd=directory)


def without_costs(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((directory / "study" / "study.json").read_text())
    for row in [*found["arms"], found["saved"]]:
        del row["cost"]
    return found


def test_a_shared_training_gives_every_bit_of_one_of_its_own(
    extended: tuple[Path, dict[str, int], str], elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The arm inference_resize took the weights of ema; here it trains them itself."""
    whole = extended[0] / "study"
    found = json.loads((whole / "study.json").read_text())
    assert found["saved"]["trainings"] == {"shared": 2, "decided": 0}
    assert found["saved"]["cost"]["words"].startswith("Trainings saved: 2 (2 shared by arms that differ in evaluation")
    arm = found["arms"][2]
    assert arm["name"] == "inference_resize"
    command = [*shlex.split(arm["command"])[1:], "seed=1", f"hydra.run.dir={elsewhere / 'alone'}"]
    assert run_command_line(command) == 0
    shared, alone = whole / arm["runs"]["1"], elsewhere / "alone"
    for name in ("model.safetensors", "predictions.npz", "model.json", "mistakes.csv", "predictions.csv"):
        assert (shared / name).read_bytes() == (alone / name).read_bytes(), name
    results = [json.loads((place / "result.json").read_text()) for place in (shared, alone)]
    assert [result["resumed"] for result in results] == [1, 0]
    own = ("seconds", "start", "resumed", "images_per_second", "peak_memory_bytes")
    for result in results:
        for view in result["resolution"]["curve"]:
            del view["milliseconds_per_image"]
    one, other = ({key: value for key, value in each.items() if key not in own} for each in results)
    assert one == other


@pytest.mark.usefixtures("charts_only_made")
@pytest.mark.parametrize("what", ["gone", "damaged"])
def test_an_arm_whose_shared_training_is_lost_trains_itself(
    what: str, extended: tuple[Path, dict[str, int], str], elsewhere: Path
) -> None:
    shutil.copytree(extended[0] / "study", elsewhere / "study")
    found = json.loads((elsewhere / "study" / "study.json").read_text())
    ema, resize = (elsewhere / "study" / found["arms"][index]["runs"]["0"] for index in (1, 2))
    weights = (resize / "model.safetensors").read_bytes()
    shutil.rmtree(resize)
    checkpoint = ema / "checkpoint" / "state.pt"
    checkpoint.unlink() if what == "gone" else checkpoint.write_bytes(b"damaged")
    assert run_command_line(small("study.seeds=2")) == 0
    assert (resize / "model.safetensors").read_bytes() == weights
    assert json.loads((resize / "result.json").read_text())["resumed"] == 0


@pytest.mark.usefixtures("charts_only_made")
def test_a_study_of_two_stages_from_the_command_line(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Everything is followed here: cells would show nothing in so short a training."""
    every = "sota_exp.study.two_stage.select_effects"
    monkeypatch.setattr(every, lambda effects: tuple(effect.factors[0] for effect in effects))
    command = [item.replace("study=ladder", "study=auto") for item in small("study.seeds=2", "data/split=repeated")]
    command = [item.replace("[ema,", "[ema,label_smoothing,") for item in command]
    assert run_command_line(command) == 0
    output = " ".join(capsys.readouterr().out.split())
    assert "8 cells, then up to 4 arms × 2 seeds" in output and "of 3 techniques, stage 2 follows" in output
    found = json.loads((elsewhere / "study" / "study.json").read_text())
    cells = found["screening"]["cells"]
    assert found["status"] == "complete" and [arm["n"] for arm in found["arms"]] == [2] * 4
    seeds = Counter(place.parts[-2] for place in elsewhere.glob("study/runs/*/*/result.json"))
    assert seeds == {"1000": 8, "0": 4, "1": 4}
    configs = [read_config(elsewhere / "study" / cell["run"] / "config.yaml") for cell in cells.values()]
    assert {each["data"]["split"]["repeat"] for each in configs} == {0}
    page = (elsewhere / "study" / "report.html").read_text()
    for words in (
        "Two stages.",
        "Stage 1 has one run in each of 8 cells",
        "Overrides and runs of the cells of stage 1",
    ):
        assert words in page
    before = finished(elsewhere / "study")
    assert run_command_line(command) == 0
    assert finished(elsewhere / "study") == before and "nothing is trained" in capsys.readouterr().out


ENDS = ((1, signal.SIGTERM), (2, signal.SIGUSR1), (3, signal.SIGKILL))


@pytest.mark.slow
@pytest.mark.parametrize("ends", [ENDS[2:], pytest.param(ENDS, marks=pytest.mark.torture)], ids=len)
def test_a_study_terminated_and_killed_ends_as_an_uninterrupted_one(
    ends: tuple[tuple[int, signal.Signals], ...], extended: tuple[Path, dict[str, int], str], elsewhere: Path
) -> None:
    whole, cut, rng = extended[0], elsewhere / "cut", random.Random(15)
    seen: dict[str, int] = {}
    for goal, number in ends:
        process = started(cut)
        while process.poll() is None and len(finished(cut / "study")) < goal:
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 0.5))
        process.send_signal(number)
        assert process.wait() in (128 + number, -number)
        after = finished(cut / "study")
        assert all(after[path] == mark for path, mark in seen.items())
        seen = {
            path: mark for path, mark in after.items() if json.loads(Path(path).read_text())["status"] == "finished"
        }
    assert started(cut).wait() == 0
    after = finished(cut / "study")
    assert all(after[path] == mark for path, mark in seen.items())
    assert json.dumps(without_costs(cut)) == json.dumps(without_costs(whole))


def test_an_interrupted_study_says_how_far_it_is_and_what_goes_on(elsewhere, monkeypatch, capsys):
    def interrupt(*given):
        raise KeyboardInterrupt

    monkeypatch.setattr("sota_exp.study.scheduler.StudyScheduler.run", interrupt)
    words = ["ablate", *SMALL, "study=add_one_in", "study.only=[label_smoothing]", "study.seeds=2"]
    assert run_command_line([*words, "hydra.sweep.dir=here"]) == 130
    out, err = capsys.readouterr()
    assert "The arms are composed and checked" in out.splitlines()[0] and err == "sota-exp: interrupted\n"
    told = out[out.index("0 of 4 runs are finished; this command goes on:\n") :].splitlines()[1]
    assert told.startswith("sota-exp ablate ") and told.endswith(" hydra.sweep.dir=here")


def test_readmes_way_to_add_a_technique_works(tmp_path, monkeypatch, capsys):
    text = next(
        line
        for line in (ROOT / "docs" / "how-to" / "studies.md").read_text().splitlines()
        if "+study.techniques.mine=" in line
    )
    override = text.split('`"')[1].split('"`')[0]
    mine = override.replace("group/slot=option", "augmentation/erase=random_erasing").replace(
        "group/slot=none", "augmentation/erase=none"
    )
    monkeypatch.chdir(tmp_path)
    wanted = [
        "ablate",
        *SMALL,
        "study=add_one_in",
        "study.only=[mine]",
        mine,
        "--plan",
        "--no-measure",
        "hydra.sweep.dir=here",
    ]
    assert run_command_line(wanted) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "augmentation/erase=random_erasing" in said
    assert "the configuration of the command with schedule=classic, " in said


def test_an_option_of_the_users_own_is_compared_with_those_of_its_slot(tmp_path, capsys):
    place = tmp_path / "mine" / "augmentation" / "erase"
    place.mkdir(parents=True)
    (place / "grey.yaml").write_text((CONF / "augmentation" / "erase" / "cutout.yaml").read_text())
    words = ["--config-dir=mine", *SMALL, "study=one_slot", "study.slot=augmentation/erase", "--plan", "--no-measure"]
    assert run_command_line(["ablate", *words, "hydra.sweep.dir=here"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert all(f"augmentation/erase={name}" in said for name in ("cutout", "grey", "random_erasing"))


@pytest.mark.parametrize(
    ("overrides", "recipe", "is_said"),
    [
        ([], "torchvision", True),
        (["recipe=baseline"], "baseline", False),
        (["experiment=cutmix_long"], "small_images", False),
        (["+experiment=cutmix_long", "recipe=transfer"], "transfer", False),
    ],
)
def test_the_recipe_is_that_of_the_command_or_its_experiment_or_is_said(
    elsewhere: Path, capsys: pytest.CaptureFixture[str], overrides: list[str], recipe: str, is_said: bool
) -> None:
    plan = ["ablate", "study=leave_one_out", "data=fake", "scale=smoke", "--plan", "--no-measure"]
    assert run_command_line([*plan, *overrides]) == 0
    found = " ".join(capsys.readouterr().out.split())
    assert f"Each technique left out of the whole: {recipe} on fake" in found
    assert ("recipe=torchvision is this study's own; recipe=NAME takes another" in found) == is_said


def test_a_study_of_folds_ends_with_the_line_that_classifies_an_image() -> None:
    made, files = study(chain("full", "b"), seeds=2), StudyFiles(directory=Path("multirun/small"))
    write_all(made, files)
    assert format_prediction(made, files) == []
    made.arms.ready[0].configuration.values["data"] = {"split": {"_option_": "cross_validation", "folds": 2}}
    assert format_prediction(made, files) == ["sota-exp predict multirun/small/runs/full-full______ new.jpg"]
    shutil.rmtree("multirun/small")
    assert format_prediction(made, StudyFiles(directory=Path("multirun/small"))) == []
