"""Folders of any legal name work: the working folder, that of the run, of the data and of a class."""

import json
import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sota_exp.cli import main
from tests.experiments import TINY
from tests.forked import Program

WORDS = [*TINY[1:2], *TINY[6:11], "schedule.length.epochs=1", "batch_size=8", "data=image_folder"]
CLASSES = [b"a $b$ {c} ${HOME} %41 ?#&+'\" x", b"line\nbreak \x1b[31m", b"non\xffutf8", "עברית 日本".encode()]


def make_set(root: Path, classes: list[bytes] = CLASSES) -> Path:
    """Eight images per class."""
    for number, name in enumerate(classes):
        folder = os.path.join(os.fsencode(root), name)
        os.makedirs(folder)
        for index in range(8):
            with open(os.path.join(folder, b"%d " % index + name[:20] + b".png"), "wb") as file:
                pixels = np.random.default_rng(10 * number + index).integers(255, size=(24, 24, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(file, "PNG")
    return root


def command(place: str | bytes, *words: str) -> tuple[int, bytes]:
    """The exit status and the output of a command in another working folder."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "said.txt")
        return Program(*words, cwd=Path(os.fsdecode(place)), output=output).wait(), output.read_bytes()


def is_uploaded(place: Path) -> bool:
    """Whether the result of a run is in MLflow's artifacts of a folder; a busy machine sends it after the command's end."""
    end = time.monotonic() + 300
    while not (found := list(place.glob("mlartifacts/*/*/artifacts/result.json"))) and time.monotonic() < end:
        time.sleep(0.05)
    return bool(found)


@pytest.mark.parametrize(
    ("name", "tracking"),
    [
        (b"w ${x} $y {z} %20 ?#&+'\" [b] \xe6\x97\xa5", "mlflow"),
        pytest.param(b"line\nbreak\x1b[31m\x07 bytes\xff \xd7\xa2\xd7\x91", "none", marks=pytest.mark.torture),
    ],
    ids=["signs", "control characters and bytes"],
)
def test_every_name_works_everywhere(tmp_path, name, tracking):
    place = os.path.join(os.fsencode(tmp_path), name)
    os.makedirs(place)
    root = make_set(Path(os.fsdecode(place), os.fsdecode(name)))
    words = [*WORDS, f"data.root={root}", f"tracking={tracking}"]
    train, *others = ["train", *words], ["evaluate", "run=outputs"], ["predict", "outputs", str(root)]
    for arguments in (train, *others):
        run = next(iter(Path(os.fsdecode(place)).glob("outputs/small_images*")), Path())
        status, said = command(place, *(word.replace("outputs", str(run)) for word in arguments))
        assert status == 0, said
        assert not {sign for sign in said if sign < 32} - {10}
        assert b"figures could not" not in said and b"not everything" not in said
    assert set(json.loads((run / "result.json").read_text())["per_class_accuracy"]) == {
        "a $b$ {c} ${HOME} %41 ?#&+'\" x",
        r"line\nbreak \x1b[31m",
        r"non\xffutf8",
        "עברית 日本",
    }
    assert os.listdir(tmp_path) == [os.fsdecode(name)]  # no folder of another spelling
    assert (run / "figures" / "confusion_matrix.png").is_file()
    if tracking == "mlflow":
        assert is_uploaded(Path(os.fsdecode(place)))


def test_in_a_folder_not_in_utf_8_the_default_database_is_refused_at_once_and_another_works(tmp_path, made_store):
    shutil.copy(made_store, tmp_path / "mlflow.db")
    place = os.path.join(os.fsencode(tmp_path), b"bytes\xff")
    os.makedirs(place)
    words = ["train", *TINY, "schedule.length.epochs=1", "tracking=mlflow"]
    status, said = command(place, *words)
    assert status == 2 and said.count(b"\n") == 1
    assert rb"bytes\xff/mlflow.db: a database needs a path in UTF-8" in said
    assert said.endswith(b"another database: tracking.uri=sqlite:////FOLDER/mlflow.db, or tracking=none\n")
    status, said = command(place, *words, f"tracking.uri=sqlite:///{tmp_path}/mlflow.db")
    assert status == 0 and b"tracking of this run failed" not in said, said
    assert is_uploaded(tmp_path)


SIGNS = b"${x} $y {z} %20 [b]\n\xe6\x97\xa5"

SEVERAL = (
    ["train", "-m", "seed=0,1"],
    ["ablate", "study=one_slot", "study.slot=augmentation/flip", "study.seeds=1"],
    ["sweep", "search=learning_rate", "hydra.sweeper.n_trials=1", "hydra.sweeper.confirm.top=0"],
)


@pytest.mark.parametrize(
    "name, words",
    [
        *((SIGNS, words) for words in SEVERAL),
        (b"bytes\xff", SEVERAL[0]),
        *(pytest.param(b"bytes\xff", words, marks=pytest.mark.torture) for words in SEVERAL[1:]),
    ],
    ids=lambda each: (each[:5].decode() if isinstance(each, bytes) else each[0]).replace("${x} ", "signs"),
)
def test_several_runs_work_in_a_folder_of_any_name_in_utf_8(tmp_path, name, words):
    place = os.path.join(os.fsencode(tmp_path), name)
    os.makedirs(place)
    status, said = command(place, *words, *TINY, "schedule.length.epochs=1", "tracking=none")
    if name.endswith(b"\xff"):
        assert status == 2
        assert rb"bytes\xff: the file multirun.yaml of several runs needs names in UTF-8; rename it" in said
    else:
        assert status == 0, said
        assert os.listdir(place) == [b"multirun"]


@pytest.mark.parametrize(
    ("words", "keys"),
    [([], "hydra.run.dir=DIR"), (["-m", "seed=0,1"], "hydra.sweep.dir=DIR or hydra.sweep.subdir=NAME")],
)
def test_a_place_that_cannot_be_a_folder_is_told_at_once(tmp_path, monkeypatch, capsys, words, keys):
    monkeypatch.chdir(tmp_path)
    for name in ("outputs", "multirun"):
        (tmp_path / name).symlink_to("gone")
    assert main.run_command_line(["train", *TINY, *words]) == 2
    message = capsys.readouterr().err
    assert f"is a link to gone, which does not exist; {keys} takes another" in message


def test_a_run_is_read_from_any_folder_and_moved_data_are_told(tmp_path, monkeypatch, capsys):
    make_set(tmp_path / "set", [b"a", b"b"])
    monkeypatch.chdir(tmp_path)
    words = [*WORDS, "data.root=set", "tracking=none", "tracking.figures=false", "hydra.run.dir=run"]
    assert main.run_command_line(["train", *words]) == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main.run_command_line(["evaluate", "run=../run"]) == 0
    assert main.run_command_line(["rerun", "../run"]) == 0
    assert "Identical to the bit" in capsys.readouterr().out
    assert main.run_command_line(["predict", "../run", "../set/a"]) == 0
    (tmp_path / "set").rename(tmp_path / "sets")
    for arguments in (["evaluate", "run=../run"], ["rerun", "../run"]):
        assert main.run_command_line([*arguments, f"hydra.run.dir={tmp_path}/other"]) == 2
        message = capsys.readouterr().err
        assert f"{tmp_path}/set does not exist (did you mean {tmp_path}/sets?)" in message
        assert message.rstrip().endswith("data.root=…")
    assert main.run_command_line(["evaluate", "run=../run", "data.root=../sets", "hydra.run.dir=moved"]) == 0


@pytest.mark.parametrize("place", ["~nosuchuser/x", "x" * 304])
@pytest.mark.parametrize(
    "words",
    [
        "predict {} photo.png",
        "predict {}.safetensors photo.png",
        "evaluate run={}",
        "evaluate weights={}",
        "export {} --format=onnx --output=there",
        "compare {}",
        "diff {} {}",
        "rerun {}",
        "report {}",
        "sync {}",
        "train data=image_folder data.root={}",
        "train data=csv data.path={}",
    ],
)
def test_a_place_that_cannot_exist_is_wrong_usage(tmp_path, monkeypatch, capsys, words, place):
    monkeypatch.chdir(tmp_path)
    assert main.run_command_line(words.format(place, place).split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert place in line and "not an override" not in line
