"""Files and hashes name options, not modules; older files are read; later additions change no hash."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import yaml

from sota_exp.cli import evaluate, predict, train
from sota_exp.cli.compare import main as compare
from sota_exp.cli.main import run_command_line
from sota_exp.config import build as config
from sota_exp.config import experiment, formats
from sota_exp.config.build import build
from sota_exp.config.fingerprint import canonicalize
from sota_exp.config.formats import FILE_FORMAT, get_option_targets, get_target, read_config, targets_to_option_names
from sota_exp.errors import ConfigError
from sota_exp.models import saved
from sota_exp.report.study.read import read_study
from sota_exp.report.study.runs import read_metric_by_epoch
from sota_exp.report.sweep.page import write_sweep_report
from sota_exp.runs.contents import RunContent
from sota_exp.runs.files import RunFiles
from sota_exp.runs.result_json import describe_saved_epoch, get_saved_epoch
from sota_exp.stages.stage import Stage, added_field
from sota_exp.study.files import StudyFiles
from tests.experiments import OFF, ON, TINY, composed
from tests.options import ROOT, Option, options
from tests.rows import each_row
from tests.run_directories import epoch, write_run

OLD = ROOT / "tests" / "run_of_format_1"


@each_row("option", options())
def test_an_option_is_named_and_found_again(option: Option) -> None:
    written = yaml.safe_load((ROOT / "conf" / option.slot / f"{option.name}.yaml").read_text())
    named = targets_to_option_names(written, {option.slot: option.name}, option.slot)
    assert named["_option_"] == option.name and "_target_" not in named
    assert get_target(named, option.slot.replace("/", ".")) == option.target


def test_no_value_of_a_configuration_names_this_package() -> None:
    for overrides in (OFF, ON):
        assert "sota_exp." not in json.dumps(composed(*TINY, *overrides).values)


def test_an_option_of_another_package_keeps_its_class() -> None:
    node = {"augmentation": {"mix": {"_target_": "mine.Mix", "alpha": 1}}}
    assert targets_to_option_names(node) == node


def test_of_several_options_of_one_class_the_chosen_one_is_named() -> None:
    node = {"data": {"_target_": get_option_targets("data")["svhn"], "name": "mine"}}
    assert targets_to_option_names(node, {"data": "svhn"})["data"]["_option_"] == "svhn"
    node["data"]["name"] = "cifar100"
    assert targets_to_option_names(node)["data"]["_option_"] == "cifar100"


def test_an_option_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match="augmentation/mix=foo: this version has no such option; legal: cutmix"):
        get_target({"_option_": "foo"}, "augmentation.mix")


def test_a_configuration_of_format_1_keeps_its_meaning() -> None:
    """It equals the one that this version composes, but for later slots and fields, so that runs of both formats can be compared."""
    found, now = read_config(OLD / "config.yaml"), composed(*overrides_of_the_old_run())
    found["evaluation"]["metrics"] = {"_option_": "none"}
    found["data"]["split"] = {"_option_": "holdout"}
    found["runtime"] |= {"checkpoint_minutes": 5, "deterministic": False, "checkpoint_activations": False}
    assert found == now.values
    assert RunFiles(directory=OLD).format == 1


def overrides_of_the_old_run() -> list[str]:
    return [
        *TINY, "tracking.figures=true", "recipe=baseline", "data.cache=cache", "augmentation/mix=mixup", "regularization/norm=ghost_batch",
        "regularization.norm.ghost_batch_size=8",
    ]  # fmt: skip


def test_a_model_of_format_1_predicts_and_evaluates_as_it_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(OLD, "old")
    evaluate.main(["run=old", "hydra.run.dir=again"])
    before, after = (json.loads(Path(place, "result.json").read_text()) for place in ("old", "again"))
    for key in (key for key in before["metrics"] if key.startswith(("val/", "test/"))):  # later versions measure more
        assert after["metrics"][key] == pytest.approx(before["metrics"][key], abs=1e-7)
    assert json.loads(Path("again/model.json").read_text())["format"] == FILE_FORMAT
    assert "sota_exp." not in Path("again/model.json").read_text() + Path("again/config.yaml").read_text()
    capsys.readouterr()
    compare(["old", "again", "--json"])
    assert json.loads(capsys.readouterr().out)
    from PIL import Image

    Image.new("RGB", (20, 20), (200, 30, 30)).save("red.png")
    predict.main(["old", "red.png"])
    assert "color_0" in capsys.readouterr().out


def test_training_does_not_go_on_in_a_directory_of_format_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(OLD, "old")
    before = Path("old/result.json").read_bytes()
    with pytest.raises(ConfigError, match="hydra.run.dir=old holds a run that an older version of sota-exp made"):
        train.main([*overrides_of_the_old_run(), "hydra.run.dir=old"])
    assert Path("old/result.json").read_bytes() == before


@pytest.mark.parametrize(("number", "first"), [(None, 0), (1, 0), (2, 0), (3, 1)])
def test_epochs_are_counted_from_1_whichever_version_counted_them(
    number: int | None, first: int, tmp_path: Path
) -> None:
    """In result.json and metrics.jsonl up to format 2 from 0: the second of three epochs was best, the last is saved."""
    directory = write_run(tmp_path / "run")
    found = json.loads((directory / "result.json").read_text())
    found["metrics"]["best/epoch"], found["saved_epoch"] = first + 1, first + 2
    found = {key: value for key, value in found.items() if key != "format"} | ({"format": number} if number else {})
    (directory / "result.json").write_text(json.dumps(found))
    lines = [{**epoch(place), "epoch": first + place} for place in range(3)]
    (directory / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    run = RunContent.read(directory)
    assert (run.result["metrics"]["best/epoch"], get_saved_epoch(run.result)) == (2, 3)
    assert describe_saved_epoch(run.result) == "epoch 3, the last (evaluation.select=last)"
    assert read_metric_by_epoch(directory / "metrics.jsonl", "val/accuracy") == {1: 0.3, 2: 0.7, 3: 0.6}


def test_a_study_or_sweep_of_format_1_does_not_go_on(tmp_path: Path) -> None:
    """Before its first summary was written too: then the files of its runs say it."""
    now, old = tmp_path / "now.json", tmp_path / "config.yaml"
    now.write_text(json.dumps({"format": FILE_FORMAT}))
    formats.require_current_format([now, tmp_path / "none.json"], tmp_path, "sweep", "sweep")
    shutil.copy(OLD / "config.yaml", old)
    with pytest.raises(ConfigError, match="holds a sweep that an older version of sota-exp made: report can read it"):
        formats.require_current_format([now, old], tmp_path, "sweep", "sweep")
    (tmp_path / "runs/arm-0/0").mkdir(parents=True)
    shutil.copy(old, tmp_path / "runs/arm-0/0")
    with pytest.raises(ConfigError, match="holds a study that an older version"):
        StudyFiles(directory=tmp_path).require_current_format()


def test_a_repeated_sweep_of_format_1_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(OLD, "old/0")
    words = ["sweep", *overrides_of_the_old_run(), "optimizer.lr=tag(log,interval(0.01,1.0))", "hydra.sweep.dir=old"]
    assert run_command_line(words) == 2
    assert not Path("old/study.db").exists()


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("study.json", read_study),
        ("sweep.json", write_sweep_report),
        ("result.json", lambda place: RunFiles(directory=place).result()),
        ("result.json", RunContent.read),
    ],
)
def test_files_of_a_later_version_are_refused(name: str, read: Callable[[Path], object], tmp_path: Path) -> None:
    shutil.copytree(OLD, tmp_path, dirs_exist_ok=True)
    (tmp_path / name).write_text(json.dumps({"format": FILE_FORMAT + 1, "arms": []}))
    with pytest.raises(ConfigError, match=f"{name} has format {FILE_FORMAT + 1}; this version of sota-exp reads 1 to"):
        read(tmp_path)


@pytest.mark.parametrize("number", [FILE_FORMAT + 1, 0, "two", None])
def test_another_format_is_refused(number: object, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"format": number, "seed": 0}))
    with pytest.raises(
        ConfigError, match=rf"config.yaml has format .*; this version of sota-exp reads 1 to {FILE_FORMAT}"
    ):
        read_config(tmp_path / "config.yaml")


@dataclass(frozen=True, kw_only=True)
class Extended(Stage):
    """An option whose field `jitter` was added after its first release."""

    alpha: float
    jitter: float = added_field(0.0)


@pytest.fixture
def extended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "import_class", lambda path, key: Extended)
    monkeypatch.setattr("sota_exp.config.fingerprint.import_class", lambda path, key: Extended)


@pytest.mark.usefixtures("extended")
def test_a_new_field_that_does_nothing_is_the_same_run_and_old_files_are_read() -> None:
    before, after = ({"_target_": "x.Extended", "alpha": 1, **new} for new in ({}, {"jitter": 0}))
    assert build(Stage, before, "a.b") == build(Stage, after, "a.b") == Extended(alpha=1.0, jitter=0.0)
    canonical = [canonicalize({"augmentation": {"mix": node}}) for node in (before, after, {**after, "jitter": 0.1})]
    assert canonical[0] == canonical[1] != canonical[2]


def test_a_new_slot_that_does_nothing_is_the_same_run(monkeypatch: pytest.MonkeyPatch) -> None:
    before = composed(*TINY, *OFF).values
    known = formats.get_option_targets
    new = {"none": "sota_exp.stages.batch.KeepBatch", "some": "sota_exp.techniques.augmentation.mix.mixup.Mixup"}
    monkeypatch.setattr(formats, "get_option_targets", lambda slot: new if slot == "augmentation/new" else known(slot))
    nothing, something = ({"_option_": "none"}, {"_option_": "some", "alpha": 0.2})
    with_slot = [{**before, "augmentation": {**before["augmentation"], "new": node}} for node in (nothing, something)]
    assert canonicalize(with_slot[0]) == canonicalize(before)
    assert canonicalize(with_slot[1]) != canonicalize(before)


def test_a_whole_number_where_a_float_belongs_is_the_same_run() -> None:
    one, other = (
        composed(*TINY, *OFF, f"optimizer.lr={text}", "augmentation/mix=mixup").values for text in ("1", "1.0")
    )
    assert canonicalize(one) == canonicalize(other)


def test_a_model_saved_before_a_transform_was_there_is_built(tmp_path: Path) -> None:
    description = json.loads((OLD / "model.json").read_text())
    del description["transforms"]["stochastic_depth"]
    (tmp_path / "model.json").write_text(json.dumps(description))
    images = torch.rand(2, 3, 16, 16)
    whole, part = (
        saved.load_saved_model(place / "model.json", OLD / "model.safetensors").network for place in (OLD, tmp_path)
    )
    assert torch.equal(whole(images), part(images))


def test_every_group_of_an_experiment_has_its_meaning() -> None:
    """The hash covers all groups, except for neutral options."""
    found = canonicalize(composed(*TINY, *ON).values)
    assert set(found) >= set(config.get_field_types(experiment.Experiment)) - {"loss", "supervision", "tracking"}


def test_aliases_that_multiply_are_no_configuration(tmp_path):
    text = "a: &a [x,x,x,x,x,x,x,x,x]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True):
        text += f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n"
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ValueError, match="more than 1,000,000 values, because aliases repeat them"):
        read_config(tmp_path / "config.yaml")
    (tmp_path / "config.yaml").write_text("[" * 100_000)
    with pytest.raises(ValueError, match="not valid YAML"):
        read_config(tmp_path / "config.yaml")
