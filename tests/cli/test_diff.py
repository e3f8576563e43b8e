"""`sota-exp diff`: the differences, and the overrides that turn the first run into the second."""

import shlex
from pathlib import Path

import pytest
import yaml

from sota_exp.cli import main
from sota_exp.config.overrides import configuration_to_overrides
from sota_exp.runs.find import SavedRun
from tests.experiments import TINY, composed


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(directory: str, *overrides: str) -> Path:
    """A finished run of a composed configuration, with the metrics of another."""
    from tests.finished_runs import make as make_run

    found = composed(*TINY, *overrides)
    make_run(Path(directory), choices=found.choices)
    (Path(directory) / "config.yaml").write_text(yaml.safe_dump(found.values))
    return Path(directory)


def read_output(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main.run_command_line(["diff", *arguments]) == 0
    return capsys.readouterr().out


def test_equal_runs(capsys: pytest.CaptureFixture[str]) -> None:
    make("outputs/one"), make("outputs/two")
    assert read_output(capsys, "one", "two").startswith("No difference: outputs/one and outputs/two")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (("seed=1", "augmentation=torchvision"), {"seed=1", "augmentation=torchvision"}),
        (("optimizer=adamw", "data.label_preserving=[]"), {"optimizer=adamw", "data.label_preserving=[]"}),
    ],
)
def test_the_command_composes_the_second_run(
    changes: tuple[str, ...], expected: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = make("outputs/one", "recipe=baseline"), make("outputs/two", "recipe=baseline", *changes)
    text = read_output(capsys, "one", "two")
    words = shlex.split(text[text.index("sota-exp rerun") :])
    assert words[:3] == ["sota-exp", "rerun", "outputs/one"]
    assert set(words[3:]) == expected
    first = SavedRun.read(one)
    again = composed(*configuration_to_overrides(first.configuration, words[3:]), *words[3:])
    assert again.values == SavedRun.read(other).config


@pytest.mark.parametrize(
    ("arguments", "message"), [([], "diff needs RUN, RUN"), (["one", "nowhere"], "nowhere: no such directory")]
)
def test_mistakes_are_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    make("outputs/one")
    assert main.run_command_line(["diff", *arguments]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1 and message in errors[0]


def test_names_and_keys_are_not_broken(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    one, other = "outputs/small_images-image_folder-seed0-fae89dc4", "outputs/small_images-image_folder-seed0-706fa35f"
    make(one, "recipe=small_images"), make(other, "recipe=small_images", "regularization.average.horizon=0.5")
    lines = read_output(capsys, one, other).splitlines()
    assert lines[:2] == [f"first: {one}", f"second: {other}"]
    assert any(line.startswith("regularization.average.horizon") for line in lines)
