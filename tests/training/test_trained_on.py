"""Scores on images that were trained on are said to be that, whatever the data set that they are in."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import sota_exp
from sota_exp.cli import main
from sota_exp.data.store_writer import hash_file, shorten_digest
from sota_exp.runs.contents import RunContent
from sota_exp.runs.sent_position import SentPosition, read_origin
from sota_exp.tracking.mlflow_upload import MLflowUpload
from sota_exp.training.trained_on import OF_NAMES, describe_predicted, format_trained_on
from tests.experiments import TINY

SMALL = [word for word in TINY if not word.startswith(("data=", "data.num", "data.m"))]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder `set` of sixty images in two classes, every one different, and a `run` that was trained on it."""
    place = tmp_path_factory.mktemp("place")
    for index in range(60):
        folder = place / "set" / f"class_{index % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20 + index // 6, 20), (4 * index, 99, 200 * (index % 2))).save(folder / f"{index:02d}.png")
    words = [f"data.root={place / 'set'}", f"data.cache={place / 'cache'}", "recipe=baseline"]
    assert run("train", "data=image_folder", *words, *SMALL, f"hydra.run.dir={place / 'run'}") == 0
    return place


def run(*words: str) -> int:
    return main.run_command_line(list(words))


def evaluated(place: Path, *words: str) -> dict[str, Any]:
    directory = place / "evaluations" / str(len(list((place / "evaluations").glob("*"))))
    assert run("evaluate", *words, f"hydra.run.dir={directory}") == 0
    result: dict[str, Any] = json.loads((directory / "result.json").read_text())
    return result | {"directory": directory}


def first_line(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out.strip().splitlines()[0]


def test_a_run_knows_its_training_images_and_none_of_them_is_in_its_val_and_test(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digests = np.load(place / "run" / "trained_on.npy")
    assert len(digests) == 48 and digests.dtype == np.int64
    assert evaluated(place, f"run={place / 'run'}")["trained_on"] == {"val": 0, "test": 0}
    assert "trained on" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "words", [(), ("data.store_gigabytes=0",), ("data.max_side=16",)], ids=["stored", "streamed", "reduced"]
)
def test_another_split_of_the_same_set_is_said_in_the_first_line(
    words: tuple[str, ...], place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = evaluated(place, f"run={place / 'run'}", "data.split_seed=5", *words)["trained_on"]
    assert min(counts.values()) >= 1
    said = (
        f"{counts['val']} of 6 val images and {counts['test']} of 6 test images were trained on (the same files, byte"
    )
    assert first_line(capsys).startswith(said)


def test_training_images_in_another_folder_are_found(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(place / "set", place / "copy" / "test")
    for path in sorted((place / "copy" / "test").rglob("*.png"))[::3]:
        Image.new("RGB", (50, 40), (int(path.stem), 1, 2)).save(path)  # an image that the run has not seen
    shutil.copytree(place / "copy" / "test", place / "copy" / "train")
    found = evaluated(place, f"run={place / 'run'}", f"data.root={place / 'copy'}")
    num = found["trained_on"]["test"]
    assert 25 <= num <= 40
    assert f"{num} of 60 test images were trained on" in first_line(capsys)


def test_a_repeated_evaluation_says_it_again(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        words = (f"run={place / 'run'}", "data.split_seed=6", f"hydra.run.dir={place / 'again'}")
        assert run("evaluate", *words) == 0
        assert "were trained on" in first_line(capsys)


def test_tuned_weights_were_trained_on_the_images_of_both_trainings(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("evaluation/fine_tune=classifier_and_norm", "evaluation.fine_tune.epochs=1", "data.split_seed=5")
    tuned = evaluated(place, f"run={place / 'run'}", *words, "evaluation.fine_tune.batch_size=8")
    both = np.load(tuned["directory"] / "trained_on.npy")
    assert set(np.load(place / "run" / "trained_on.npy")) < set(both)
    data = ("data=image_folder", f"data.root={place / 'set'}", f"data.cache={place / 'cache'}")
    again = evaluated(place, f"weights={tuned['directory'] / 'model.safetensors'}", *data)
    assert min(again["trained_on"].values()) >= 1


def test_weights_without_the_file_say_that_their_images_are_unknown(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(place / "run", place / "old")
    (place / "old" / "trained_on.npy").unlink()
    assert run("evaluate", f"run={place / 'old'}", f"hydra.run.dir={place / 'refused'}") == 1
    assert "trained_on.npy" in capsys.readouterr().err
    (place / "old" / "digests.json").unlink()
    assert evaluated(place, f"run={place / 'old'}", "data.split_seed=5", "--trust")["trained_on"] is None
    assert first_line(capsys).startswith("unknown training images (no trained_on.npy beside the weights)")
    tuning = ("evaluation/fine_tune=classifier_and_norm", "evaluation.fine_tune.epochs=1")
    tuned = evaluated(place, f"run={place / 'old'}", *tuning, "evaluation.fine_tune.batch_size=8", "--trust")
    assert tuned["trained_on"] is None and not (tuned["directory"] / "trained_on.npy").exists()


@pytest.mark.parametrize("form", ["safetensors", pytest.param("torch_export", marks=pytest.mark.torture)])
def test_exported_weights_keep_what_they_were_trained_on(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    shutil.copytree(place / "run", tmp_path / "old")
    for name in ("trained_on.npy", "digests.json"):
        (tmp_path / "old" / name).unlink()
    output = tmp_path / "exported"
    named = [f"{place / 'run'}", f"{place / 'run' / 'checkpoint' / 'best.safetensors'}"]
    for weights in named if form == "safetensors" else named[:1]:  # an export of PyTorch takes a second
        assert run("export", weights, f"--format={form}", f"--output={output}") == 0
        assert (output / "trained_on.npy").read_bytes() == (place / "run" / "trained_on.npy").read_bytes()
    if form == "safetensors":
        data = ("data=image_folder", f"data.root={place / 'set'}", f"data.cache={place / 'cache'}")
        words = (*data, "data.val_fraction=0.4", "data.split_seed=5")
        capsys.readouterr()
        assert evaluated(place, f"weights={output / 'model.safetensors'}", *words)["trained_on"]["val"] >= 1
        assert "val images and" in first_line(capsys)
    assert run("export", f"{tmp_path / 'old'}", f"--format={form}", f"--output={output}") == 0
    assert not (output / "trained_on.npy").exists()


def test_a_copy_in_another_format_is_not_recognized(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As README says: the bytes of files are compared, not pixels."""
    for path in sorted((place / "set").rglob("*.png")):
        target = place / "bmp" / "test" / path.parent.name / f"{path.stem}.bmp"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).save(target)
    assert evaluated(place, f"run={place / 'run'}", f"data.root={place / 'bmp'}")["trained_on"] == {"test": 0}
    assert "trained on" not in first_line(capsys)


WAYS = {
    "model.weights": ("model/weights=checkpoint",),
    "regularization.distillation": ("regularization/distillation=logits",),
}


@pytest.fixture(scope="module")
def store(place: Path, made_store: Path) -> str:
    """A tracking store with the run in it, as `sota-exp sync` sends it."""
    uri = f"sqlite:///{shutil.copy(made_store, place)}"
    position = SentPosition.read(place / "run").at(uri, "sota_exp").with_origin(read_origin(place / "run", {}), False)
    position.write(place / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        MLflowUpload.open(position).send(RunContent.read(place / "run", position.origin))
    return uri


@pytest.mark.parametrize("key", WAYS)
@pytest.mark.parametrize("kind", ["run", "export", "mlflow"])
def test_weights_to_start_from_and_teachers_that_have_seen_val_are_said(
    key: str, kind: str, place: Path, store: str, capfd: pytest.CaptureFixture[str]
) -> None:
    directory, path = place / f"{key}-{kind}", str(place / "run" / "model.safetensors")
    if kind == "export":
        path = str(place / f"exported-{key}" / "model.safetensors")
        assert run("export", f"{place / 'run'}", "--format=safetensors", f"--output={Path(path).parent}") == 0
    if kind == "mlflow":
        path = f"runs:/{SentPosition.read(place / 'run').run_id}"
    source = (f"{key}.source={'mlflow' if kind == 'mlflow' else 'file'}",) if "distillation" in key else ()
    data = ("data=image_folder", f"data.root={place / 'set'}", f"data.cache={place / 'cache'}", "recipe=baseline")
    words = (*WAYS[key], *source, f"{key}.path={path}", f"{key}.store={store}", "data.split_seed=5", *SMALL)
    assert run("train", *data, *words, f"hydra.run.dir={directory}") == 0
    captured = capfd.readouterr()
    said = (captured.out + captured.err).replace("\n", "")
    assert f"{key}.path={path}: by these weights " in said and "does not say its mean" not in said
    assert set(np.load(place / "run" / "trained_on.npy")) < set(np.load(directory / "trained_on.npy"))


@pytest.mark.parametrize("key", WAYS)
def test_what_weights_alone_do_not_say_is_told(key: str, place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither which images they were trained on, nor their mean and std."""
    (place / f"alone-{key}").mkdir()
    path = shutil.copy(place / "run" / "model.safetensors", place / f"alone-{key}")
    data = ("data=image_folder", f"data.root={place / 'set'}", f"data.cache={place / 'cache'}", "recipe=baseline")
    model = next(word for word in SMALL if word.startswith("model.arch.name=")).partition("=")[2]
    source = (f"{key}.source=file", f"{key}.name={model}") if "distillation" in key else ()
    words = ["train", *data, *WAYS[key], *source, f"{key}.path={path}", *SMALL]
    for number, given in enumerate(((), (f"{key}.mean=[0.5,0.5,0.5]", f"{key}.std=[0.5,0.5,0.5]"))):
        assert run(*words, *given, f"hydra.run.dir={place / f'from-{key}-{number}'}") == 0
        said = "".join(capfd.readouterr()).replace("\n", "")
        assert f"{key}.path={path}: no trained_on.npy beside it: its training images are unknown" in said
        told = f"{key}.path={path} does not say its mean and std: those of the training images are used; {key}.mean"
        assert (told in said) == (not given)


def test_the_whole_set_is_not_called_all_images() -> None:
    assert format_trained_on({"all": 1}, {"all": 37}).startswith("1 of 37 images were trained on")
    assert format_trained_on({"val": 0, "test": 0}, {"val": 9, "test": 9}) == ""
    assert format_trained_on({"val": 0, "test": 2}, {"val": 9, "test": 9}).startswith("2 of 9 test images were")


@pytest.mark.parametrize("command", ["train", "look"])
def test_a_training_image_among_those_of_test_is_said_before_the_training(
    place: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], command: str
) -> None:
    for index, path in enumerate(sorted((place / "set").rglob("*.png"))):
        part = "train" if index % 4 else "test"
        target = tmp_path / "parts" / part / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    words = ["data=image_folder", f"data.root={tmp_path / 'parts'}", f"data.cache={tmp_path / 'cache'}", *SMALL]
    words += ["recipe=baseline", "data.val_fraction=null"]
    assert run(command, *words, f"hydra.run.dir={tmp_path / 'one'}") == 0
    assert "training images are in other parts" not in capfd.readouterr().err
    copied = next((tmp_path / "parts" / "train" / "class_1").iterdir())
    shutil.copy(copied, tmp_path / "parts" / "test" / "class_1" / "copy.png")
    assert run(command, *words, f"hydra.run.dir={tmp_path / 'two'}") == 0
    said = "training images are in other parts too: 1 of 16 val images and 1 of 16 test images, such as test/class_1/copy.p"
    assert said in capfd.readouterr().err


#: Of three files, of which networks know the first, the first two, or none: what is said of their predictions.
PREDICTED = {
    "by one": ([1], "1 of 3 images were trained on (the same files, byte for byte"),
    "by each": ([2, 2], "2 of 3 images were trained on by 2 of 2 networks (the same files"),
    "by some": ([2, 1, 0, None], "2 of 3 images were trained on by 1 to 2 of 4 networks (the same files"),
    "by none": ([0, 0], ""),
    "unknown": ([None], ""),
}


@pytest.mark.parametrize(("nums", "said"), PREDICTED.values(), ids=PREDICTED)
def test_predictions_of_images_that_networks_were_trained_on_are_said_to_be_that(
    nums: list[int | None], said: str, place: Path
) -> None:
    files = sorted(place.glob("set/*/*"))[:3]
    digests = [shorten_digest(hash_file(path)) for path in files]
    found = describe_predicted(files, [None if num is None else np.array([OF_NAMES, *digests[:num]]) for num in nums])
    assert found.startswith(said) and bool(found) == bool(said)


def test_predict_says_it_on_the_terminal_and_in_python(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    said = "48 of 60 images were trained on (the same files, byte for byte"
    assert run("predict", f"{place / 'run'}", f"{place / 'set'}", "--format=csv") == 0
    assert capsys.readouterr().err.startswith(f"sota-exp: {said}")
    sota_exp.predict(sota_exp.load_model(place / "run"), place / "set")
    assert said in caplog.text
    Image.new("RGB", (20, 20)).save(tmp_path / "new.png")
    caplog.clear()
    assert run("predict", f"{place / 'run'}", f"{tmp_path / 'new.png'}") == 0
    sota_exp.predict(place / "run", [tmp_path / "new.png", np.zeros((20, 20, 3), np.uint8)])
    shutil.copytree(place / "run", tmp_path / "run")
    (tmp_path / "run" / "trained_on.npy").unlink()
    assert run("predict", f"{tmp_path / 'run'}", f"{place / 'set'}", "--trust") == 0
    assert (capsys.readouterr().err, caplog.text) == ("", "")
