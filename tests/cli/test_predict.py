"""`sota-exp predict`: predictions for a file equal those of evaluation."""

import csv
import io
import json
import math
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from sota_exp.cli import main
from sota_exp.models.predict import group_by_pixels, plan_decoding
from tests.experiments import TINY
from tests.forked import Program


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a folder of PNG files of many sizes, with two classes."""
    root = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for place in range(60):
        side = rng.integers(18, 30, 2)
        kind = "dark" if place % 2 else "light"
        pixels = rng.integers(0, 120, (*side, 3)) + (0 if place % 2 else 130)
        folder = root / ("test" if place < 20 else "train") / kind
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{place:02}.png")
    flags = [text for text in TINY if not text.startswith("data")]
    data = ["data=image_folder", f"data.root={root}", "data.image_size=16", "recipe=baseline"]
    assert main.run_command_line(["train", *flags, *data, f"hydra.run.dir={root / 'a_run'}"]) == 0
    return root


def predicted(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict]:
    capsys.readouterr()
    assert main.run_command_line(["predict", *arguments, "--format=json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_predictions_equal_those_of_evaluation(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = predicted(capsys, f"{finished}/a_run", f"{finished}/test", "--batch-size=7")
    with np.load(finished / "a_run" / "predictions.npz") as arrays:
        logits = arrays["test_logits"].astype(np.float64)
    names = json.loads((finished / "a_run" / "model.json").read_text())["classes"]
    files = sorted((finished / "test").rglob("*.png"))
    assert [each["path"] for each in made] == [str(path) for path in files]
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    shares = np.array([[each["classes"][name] for name in names] for each in made])
    np.testing.assert_allclose(shares, expected, atol=1e-5)
    assert all(list(each["classes"].values()) == sorted(each["classes"].values(), reverse=True) for each in made)


def test_the_beginning_of_a_name_means_the_training_though_a_study_begins_alike(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for place in ("outputs/photos-1f2e", "multirun/photos-study/runs/full/0", "multirun/photos-study/runs/full/1"):
        shutil.copytree(finished / "a_run", place)
    expected = predicted(capsys, f"{finished}/a_run", f"{finished}/test")
    assert predicted(capsys, "photos", f"{finished}/test") == expected
    shutil.copytree(finished / "a_run", "outputs/photos-3d4c")
    assert main.run_command_line(["predict", "photos", f"{finished}/test"]) == 2
    assert "photos means 4 runs; name one: " in capsys.readouterr().err


def test_a_study_names_its_arms_and_an_arm_answers_with_the_mean_of_its_runs(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    runs = {"full-12": {"0": "runs/full-12/0", "1": "runs/full-12/1"}, "cutmix-34": {"0": "runs/cutmix-34/0"}}
    for place in ("runs/alone/0", *(place for arm in runs.values() for place in arm.values())):
        shutil.copytree(finished / "a_run", f"multirun/study/{place}")
    Path("multirun/study/study.json").write_text(json.dumps({"arms": [{"runs": arm} for arm in runs.values()]}))
    expected = predicted(capsys, f"{finished}/a_run", f"{finished}/test")
    for one, other in zip(predicted(capsys, "study/runs/full-12", f"{finished}/test"), expected, strict=True):
        assert one["classes"] == pytest.approx(other["classes"], abs=1e-5)
    for command in (["predict", "study", f"{finished}/test"], ["evaluate", "run=multirun/study"]):
        assert main.run_command_line(command) == 2
        told = capsys.readouterr().err
        assert "study has 4 runs; name an arm or a cross-validation, for the mean of the probabilities of its" in told
        assert told.endswith(
            ": study/runs/full-12 (2 runs), study/runs/cutmix-34 (1 run), study/runs/alone/0 (1 run)\n"
        )
    assert main.run_command_line(["predict", "stu", f"{finished}/test"]) == 2
    told = capsys.readouterr().err
    assert "stu means 4 runs; name an arm" in told and ": study/runs/full-12 (2 runs), study/runs/cutmix-34" in told
    assert predicted(capsys, "study/runs/fu", f"{finished}/test") == predicted(
        capsys, "study/runs/full-12", f"{finished}/test"
    )
    Path("multirun/study/study.json").unlink()
    assert main.run_command_line(["predict", "study", f"{finished}/test"]) == 2
    assert (
        "multirun/study has 4 runs; name one: study/runs/alone/0, study/runs/cutmix-34/0, study"
        in capsys.readouterr().err
    )


def test_how_files_are_batched_changes_nothing(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = (predicted(capsys, f"{finished}/a_run", f"{finished}/test", f"--batch-size={num}") for num in (1, 64))
    for alone, together in zip(one, other, strict=True):
        assert alone["classes"] == pytest.approx(together["classes"], abs=1e-5)


def test_output_as_table_and_csv(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = next((finished / "test" / "dark").iterdir())
    assert main.run_command_line(["predict", f"{finished}/a_run", str(photo), "--top=1"]) == 0
    assert "dark" in capsys.readouterr().out
    assert main.run_command_line(["predict", f"{finished}/a_run/model.safetensors", str(photo), "--format=csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["rank"] for row in rows] == ["1", "2"]
    assert sum(float(row["probability"]) for row in rows) == pytest.approx(1, abs=1e-5)


def test_an_unreadable_file_does_not_affect_the_others(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    photo = next((finished / "test" / "light").iterdir())
    assert (
        main.run_command_line(["predict", f"{finished}/a_run", f"{tmp_path}/broken.png", str(photo), "--format=json"])
        == 1
    )
    output = capsys.readouterr()
    assert json.loads(output.out)["path"] == str(photo)
    assert "broken.png can't be read as an image" in output.err and "1 of 2 files" in output.err


def test_a_folder_is_read_as_in_training(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = next((finished / "test" / "light").iterdir())
    for name in ("a.png", "deep/b.PNG", ".hidden.png", "._a.png", ".ipynb_checkpoints/a-checkpoint.png", "deep/c.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(photo, tmp_path / name)
    capsys.readouterr()
    assert main.run_command_line(["predict", f"{finished}/a_run", str(tmp_path), "--format=json"]) == 0
    output = capsys.readouterr()
    made = [json.loads(line)["path"] for line in output.out.splitlines()]
    assert made == [f"{tmp_path}/a.png", f"{tmp_path}/deep/b.PNG"]
    told = f"sota-exp: {tmp_path}: 1 .txt left out, by their endings not images for Pillow\n"
    assert output.err == told
    assert len(predicted(capsys, f"{finished}/a_run", f"{tmp_path}/.hidden.png")) == 1  # asked for by name


@pytest.mark.parametrize("output", ["csv", "json"])
def test_any_name_of_a_file_is_written_in_utf_8_with_plain_line_ends(
    output: str, finished: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    shutil.copy(next((finished / "test" / "light").iterdir()), os.fsencode(tmp_path) + b"/caf\xe9 \xc3\xa9.png")
    capfdbinary.readouterr()
    assert main.run_command_line(["predict", f"{finished}/a_run", str(tmp_path), f"--format={output}", "--top=1"]) == 0
    text = capfdbinary.readouterr().out.decode()
    assert "\r" not in text and ("caf\\\\xe9 é.png" if output == "json" else "caf\\xe9 é.png") in text


def test_a_path_is_printed_as_it_was_given(
    finished: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    photo = next((finished / "test" / "light").iterdir())
    capsys.readouterr()
    for given in (str(photo), os.path.relpath(photo)):
        assert main.run_command_line(["predict", f"{finished}/a_run", given, "--top=1"]) == 0
        assert capsys.readouterr().out.startswith(f"{given}  ")


@pytest.mark.parametrize(
    ("num", "size", "ending", "limit"),
    [
        pytest.param(25, (4000, 3000), "jpg", 700, marks=pytest.mark.torture),
        (6, (10000, 8000), "jpg", 700),
        (12, (4000, 3000), "png", 700),
        pytest.param(2, (10000, 8000), "png", 1000, marks=pytest.mark.torture),
    ],
)
def test_memory_does_not_grow_with_large_images(
    num: int, size: tuple[int, int], ending: str, limit: int, finished: Path, tmp_path: Path
) -> None:
    """Decoded, 25 photos of 12 megapixels take 900 MB, six of 80 1.5 GB; one of 80 takes 800 MB with copies."""
    Image.new("RGB", size).save(tmp_path / f"0.{ending}", compress_level=1)
    for index in range(1, num):
        os.link(tmp_path / f"0.{ending}", tmp_path / f"{index}.{ending}")
    program = tmp_path / "program.py"
    program.write_text(
        "import resource, sys; from sota_exp.cli import main; from sota_exp.models import predict, saved\n"
        "import sota_exp.training.evaluate_saved, torch\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "assert main.run_command_line(sys.argv[1:]) == 0\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)\n"
    )
    said, arguments = tmp_path / "said.txt", ["predict", f"{finished}/a_run", str(tmp_path), "--top=1"]
    assert Program(*arguments, path=program, output=said).wait() == 0, said.read_text()
    assert int(said.read_text().splitlines()[-1]) < limit  # MiB


def test_a_large_jpeg_is_predicted_as_from_a_streamed_set(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    down, across = np.mgrid[0:3001, 0:4001]
    photo = tmp_path / "set" / "test" / "dark" / "0.jpg"
    photo.parent.mkdir(parents=True)
    Image.fromarray(((down * across // 5000) % 256).astype(np.uint8)).save(photo)
    words = [f"data.root={tmp_path}/set", "data.store_gigabytes=0", f"hydra.run.dir={tmp_path}/evaluated"]
    assert main.run_command_line(["evaluate", f"run={finished}/a_run", *words]) == 0
    (row,) = csv.DictReader((tmp_path / "evaluated" / "predictions.csv").read_text().splitlines())
    (made,) = predicted(capsys, f"{finished}/a_run", str(photo))
    assert made["classes"][row["prediction"]] == pytest.approx(float(row["probability"]), abs=1e-6)


def test_few_large_images_are_decoded_at_once(tmp_path: Path) -> None:
    for name, size in (("small.jpg", (4000, 3000)), ("large.jpg", (6000, 4000)), ("large.png", (6000, 4001))):
        Image.new("L", size).save(tmp_path / name)
    (tmp_path / "broken.jpg").write_text("")
    paths = [tmp_path / f"{name}" for name in ("small.jpg", "large.jpg", "large.png", "broken.jpg")]
    small, large, png, broken = planned = [plan_decoding(path, 500) for path in paths]
    assert [file.step for file in planned] == [1, 8, 1, 1]
    assert (large.pixels, broken.pixels) == (24_000_000 // 64, 0)
    assert plan_decoding(paths[1], 1500).step == 2
    assert group_by_pixels([small, small, small, png, broken, png]) == [[small, small], [small], [png], [broken], [png]]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no image",
        b"\x89PNG\r\n\x1a\n" + b"\x00" * 40,
        b"\xff\xd8\xff\xe0" + b"\x00" * 99,
        b"GIF89a" + b"\xff" * 20,
    ],
)
def test_broken_files_of_every_kind_are_named(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    (tmp_path / "a.png").write_bytes(content)
    shutil.copy(next((finished / "test" / "light").iterdir()), tmp_path / "b.png")
    assert main.run_command_line(["predict", f"{finished}/a_run", str(tmp_path), "--top=1", "--format=csv"]) == 1
    output = capsys.readouterr()
    assert "a.png can't be read as an image" in output.err and "b.png" in output.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "predict needs RUN, IMAGE: sota-exp predict RUN IMAGE …"),
        (["{finished}/a_run"], "predict needs IMAGE"),
        (["{finished}/a_run", "nowhere.png"], "nowhere.png: no such file or folder"),
        (["{finished}/a_run", "~nosuchuser/x.png"], "~nosuchuser/x.png: no such file or folder"),
        (["{finished}/a_run", "x" * 304], "xx: no such file or folder"),
        (["{finished}/a_run", "{tmp}"], "no image file in this folder"),
        (["{finished}/a_run", "/dev/null"], "/dev/null is neither a file nor a folder; give image files"),
        (["{finished}/a_run", "{finished}/test", "--top=0"], "--top: 0 is not legal: a whole number, at least 1"),
        (["{finished}/a_run", "{finished}/test", "--format=xml"], "--format xml is not legal; legal: table, csv, json"),
    ],
)
def test_a_mistake_is_reported_in_one_line(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert (
        main.run_command_line(["predict", *(word.format(finished=finished, tmp=tmp_path) for word in arguments)]) == 2
    )
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_a_file_that_exists_is_a_file_whatever_its_name(
    finished: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["top=1.png", "run=1.png", "format=csv", "a=b.png"]
    for name in names:
        Image.new("RGB", (20, 20)).save(tmp_path / name, format="PNG")
    made = predicted(capsys, f"{finished}/a_run", *names, "--top=1")
    assert [Path(each["path"]).name for each in made] == names
    assert all(len(each["classes"]) == 1 for each in made)
    capsys.readouterr()
    assert main.run_command_line(["predict", f"{finished}/a_run", "top=2.png", "a=b.png"]) == 2
    assert "top=2.png: predict takes arguments and options, not keys" in capsys.readouterr().err


def test_images_taken_as_of_twelve_bits_are_counted(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("b.png", "c.png"):
        Image.fromarray(np.full((20, 20), 4000, np.uint16)).save(tmp_path / name)
    shutil.copy(next((finished / "test" / "light").iterdir()), tmp_path / "a.png")
    capsys.readouterr()
    assert main.run_command_line(["predict", f"{finished}/a_run", str(tmp_path), "--format=csv"]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert f"(2 of 3 images; the first is {tmp_path}/b.png)" in line


def test_an_image_of_fourteen_bits_is_predicted_as_in_the_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A dark image alone does not show how many bits its values have: the model knows it."""
    rng = np.random.default_rng(0)
    for index in range(40):
        folder = tmp_path / ("test" if index < 8 else "train") / "ab"[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        values = rng.integers(0, 1500 if index % 2 else 16000, (20, 20))
        Image.fromarray(values.astype(np.uint16)).save(folder / f"{index:02}.png")
    flags = [text for text in TINY if not text.startswith("data")]
    data = ["data=image_folder", f"data.root={tmp_path}", "data.image_size=16", "recipe=baseline"]
    assert main.run_command_line(["train", *flags, *data, f"hydra.run.dir={tmp_path / 'a_run'}"]) == 0
    assert json.loads((tmp_path / "a_run" / "model.json").read_text())["white"] == 16383
    rows = list(csv.DictReader((tmp_path / "a_run" / "predictions.csv").read_text().splitlines()))
    for row in (row for row in rows if row["part"] == "test"):
        (made,) = predicted(capsys, f"{tmp_path}/a_run", str(tmp_path / row["image"]))
        assert made["classes"][row["prediction"]] == pytest.approx(float(row["probability"]), abs=1e-6)


#: What is left out.
MISSING = object()

#: A value of `model.json` that a file without a digest may have, and what is said of it.
WRONG_VALUES = {
    "std of zero": ("preprocessing", "std", [0, 0, 0], "preprocessing.std=[0, 0, 0]; legal: three numbers, above 0"),
    "mean of NaN": (
        "preprocessing",
        "mean",
        [math.nan] * 3,
        "preprocessing.mean=[nan, nan, nan]; legal: three numbers",
    ),
    "std of words": ("preprocessing", "std", ["x", "y", "z"], "legal: three numbers"),
    "one mean": ("preprocessing", "mean", 0.5, "legal: three numbers"),
    "a size of text": ("preprocessing", "size", "32", "preprocessing.size=32; legal: a number of pixels"),
    "no resize": ("preprocessing", "resize", None, "preprocessing.resize=None; legal: a number of pixels"),
    "mean and std alone": ("preprocessing", "size", MISSING, "it has no preprocessing.size"),
    "an interpolation": ("preprocessing", "interpolation", "zz", "preprocessing.interpolation=zz; legal: bilinear or"),
    "a class of another type": ("classes", 0, 5, "classes; legal: a list of names"),
}


@pytest.mark.parametrize("name", WRONG_VALUES)
def test_a_description_with_a_wrong_value_is_named(
    name: str, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    part, key, value, said = WRONG_VALUES[name]
    description = json.loads((finished / "a_run" / "model.json").read_text())
    description[part][key] = value
    if value is MISSING:
        del description[part][key]
    (tmp_path / "model.json").write_text(json.dumps(description))
    shutil.copy(finished / "a_run" / "model.safetensors", tmp_path)
    images = str(next((finished / "test" / "dark").iterdir()))
    assert main.run_command_line(["predict", f"{tmp_path}/model.safetensors", images]) in (1, 2)
    line = capsys.readouterr().err
    assert said in line and "model.json is damaged" in line and "fault of sota-exp" not in line


def test_answers_that_are_no_numbers_are_not_printed(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(finished / "a_run" / "model.json", tmp_path)
    weights = load_file(finished / "a_run" / "model.safetensors")
    name = next(name for name in weights if weights[name].is_floating_point())
    weights[name].view(-1)[0] = math.nan
    save_file(weights, tmp_path / "model.safetensors")
    images = str(next((finished / "test" / "dark").iterdir()))
    assert main.run_command_line(["predict", f"{tmp_path}/model.safetensors", images]) == 1
    said = capsys.readouterr()
    assert "answers are no numbers" in said.err and "nan" not in said.out
