"""`sota-exp evaluate` on images from outside, on parts of the data, and the names of images in its table."""

import csv
import json
import math
import os
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn import metrics

from sota_exp.cli import main
from sota_exp.data.open import open_data
from sota_exp.training.scored_data import reorder_labels
from tests.experiments import TINY, composed

NETWORK = [text for text in TINY if not text.startswith("data")]


def draw(folder: Path, num: int, first: int = 0) -> None:
    """Images of the class that the folder is named by: `dark`, `light`, `red`."""
    folder.mkdir(parents=True, exist_ok=True)
    low = {"dark": (0, 0, 0), "light": (130, 130, 130), "red": (130, 0, 0)}.get(folder.name, (0, 130, 0))
    for index in range(first, first + num):
        pixels = np.random.default_rng(index).integers(0, 120, (20, 22, 3)) + low
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{index:02}.png")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a folder of three classes without parts, 20 images each."""
    place = tmp_path_factory.mktemp("outside")
    for name in ("dark", "light", "red"):
        draw(place / "photos" / name, 20)
    data = ["data=image_folder", f"data.root={place}/photos", "data.image_size=16", "recipe=baseline", "scale=smoke"]
    assert main.run_command_line(["train", *NETWORK, *data, f"hydra.run.dir={place / 'a_run'}"]) == 0
    return place


def evaluated(place: Path, target: Path, *arguments: str) -> dict:
    words = ["evaluate", f"run={place}/a_run", *arguments, f"hydra.run.dir={target}"]
    assert main.run_command_line(words) == 0
    return json.loads((target / "result.json").read_text())


def rows(directory: Path, name: str = "predictions.csv") -> list[dict[str, str]]:
    with open(directory / name, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("folders", "arguments", "images"),
    [
        (["dark", "light", "red"], (), {"test": 18}),
        (["dark", "light", "red"], ("evaluation.part=all",), {"all": 18}),
        (["dark", "light", "red"], ("evaluation.part=test",), {"test": 18}),
        (["dark", "light", "red"], ("data.val_fraction=0.2", "data.test_fraction=0.2"), {"val": 4, "test": 4}),
        (["dark", "red"], (), {"test": 12}),
        (["red"], (), {"test": 6}),
        (["test/dark", "test/light"], (), {"test": 12}),
        (["val/dark", "test/dark", "test/red"], (), {"val": 6, "test": 12}),
        (["val/dark", "val/red"], (), {"val": 12}),
        (["train/dark", "train/red", "test/red"], (), {"test": 6}),
        (["train/dark", "train/red", "test/red"], ("evaluation.part=train",), {"train": 12}),
        (["train/dark", "train/red", "val/red", "test/red"], (), {"val": 6, "test": 6}),
        (["train/dark", "train/red"], (), {"test": 12}),
    ],
)
def test_other_images_are_scored_with_the_parts_they_have(
    place: Path, tmp_path: Path, folders: list[str], arguments: tuple[str, ...], images: dict[str, int]
) -> None:
    for folder in folders:
        draw(tmp_path / "others" / folder, 6, first=40)
    result = evaluated(place, tmp_path / "e", f"data.root={tmp_path}/others", *arguments)
    assert result["evaluated_images"] == images
    assert {key.partition("/")[0] for key in result["metrics"]} == set(images)
    assert Counter(row["part"] for row in rows(tmp_path / "e")) == images
    assert list(result["per_class_accuracy"]) == ["dark", "light", "red"]


def draw_deep(folder: Path, low: int, high: int) -> None:
    """Eight 12-bit PNGs with values from `low` to `high`."""
    folder.mkdir(parents=True)
    for index in range(8):
        pixels = np.random.default_rng(index).integers(low, high, (20, 20)).astype(np.uint16)
        Image.fromarray(pixels).save(folder / f"{low}_{index}.png")


def test_sixteen_bit_images_are_read_as_in_training_as_predict_reads_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw_deep(tmp_path / "set" / "bright", 3000, 4095)
    draw_deep(tmp_path / "set" / "dim", 0, 500)
    draw_deep(tmp_path / "others" / "dim", 0, 500)
    data = ["data=image_folder", f"data.root={tmp_path}/set", "data.image_size=16", "recipe=baseline"]
    assert main.run_command_line(["train", *NETWORK, *data, f"hydra.run.dir={tmp_path / 'a_run'}"]) == 0
    assert json.loads((tmp_path / "a_run" / "model.json").read_text())["white"] == 4095
    capsys.readouterr()
    for number, words in enumerate(([], ["data=image_folder"], ["data.store_gigabytes=0"], ["data.max_side=18"])):
        place = tmp_path / f"e{number}"
        evaluated(tmp_path, place, *words, f"data.root={tmp_path}/others")
        assert "read with 4095 as white, as in the training, not with 511" in capsys.readouterr().err
        made = {row["image"]: row for row in rows(place)}
        command = ["predict", f"{tmp_path}/a_run", f"{tmp_path}/others", "--top=1", "--format=json"]
        assert main.run_command_line(command) == 0
        for line in capsys.readouterr().out.splitlines():
            ((name, probability),) = json.loads(line)["classes"].items()
            row = made[f"dim/{Path(json.loads(line)['path']).name}"]
            assert row["prediction"] == name
            if words != ["data.max_side=18"]:
                assert float(row["probability"]) == pytest.approx(probability, abs=1e-4)
    evaluated(tmp_path, tmp_path / "f", f"data.root={tmp_path}/others", "data.white=511")
    told = "read with 511 as white, those of the training with 4095: their scores are not comparable"
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("label", ["dark", "light", "red"])
@pytest.mark.filterwarnings("ignore")
def test_kappa_of_one_class_is_absent_where_scikit_learn_has_none(
    place: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], label: str
) -> None:
    draw(tmp_path / "others" / label, 6)
    result = evaluated(place, tmp_path / "e", f"data.root={tmp_path}/others")
    made = rows(tmp_path / "e")
    expected = metrics.cohen_kappa_score(*([row[name] for row in made] for name in ("label", "prediction")))
    found = result["metrics"]["test/kappa"]
    assert found is None if math.isnan(expected) else found == pytest.approx(expected)
    assert (f"{'–':>6}" in capfd.readouterr().out) or found is not None
    assert found is None or result["metrics"]["test/accuracy"] < 1
    assert compared(capfd, tmp_path / "e", place / "a_run")["metrics"]["test/kappa"][1] is not None


def compared(capfd: pytest.CaptureFixture[str], *runs: Path) -> dict:
    capfd.readouterr()
    assert main.run_command_line(["compare", *map(str, runs), "--json"]) == 0
    return json.loads(capfd.readouterr().out)


def test_evaluations_are_paired_by_image_only_where_they_scored_the_same_images(
    place: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, first in (("one", 40), ("other", 60)):
        for label in ("dark", "red"):
            draw(tmp_path / name / label, 6, first)
        evaluated(place, tmp_path / f"e_{name}", f"data.root={tmp_path}/{name}")
    evaluated(place, tmp_path / "e_again", f"data.root={tmp_path}/one", "evaluation/tta=flip")
    evaluated(place, tmp_path / "e_own")
    found = compared(capfd, tmp_path / "e_one", tmp_path / "e_other")
    assert [each["remark"] for each in found["pairs"]] == ["not comparable: other test images"]
    assert any("not comparable: other images (other and one)" in note for note in found["notes"])
    for pair in ((tmp_path / "e_one", tmp_path / "e_again"), (tmp_path / "e_own", place / "a_run")):
        assert [each["images"] is not None for each in compared(capfd, *pair)["pairs"]] == [True]


@pytest.mark.parametrize("part", ["all", "val", "train"])
def test_evaluations_of_a_part_are_compared(
    place: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], part: str
) -> None:
    made = [tmp_path / name for name in ("plain", "flipped", "other")]
    evaluated(place, made[0], f"evaluation.part={part}")
    evaluated(place, made[1], f"evaluation.part={part}", "evaluation/tta=flip")
    for label in ("dark", "red"):
        draw(tmp_path / "others" / label, 6, first=40)
    evaluated(place, made[2], f"data.root={tmp_path}/others")
    found = compared(capfd, *made[:2])
    assert all(value is not None for value in found["metrics"][f"{part}/accuracy"])
    assert not any("not comparable" in note for note in found["notes"])
    (pair,) = found["pairs"]
    assert found["part"] == part and pair["images"] is not None and pair["remark"].endswith("only: one seed")
    page = tmp_path / "page.html"
    assert main.run_command_line(["compare", *map(str, made[:2]), "--html", str(page)]) == 0
    shown = capfd.readouterr().out + page.read_text()
    named = "accuracy on all images" if part == "all" else f"{part} accuracy"
    assert f"{named.capitalize()}, paired by image." in shown
    assert f"of {named}, 95 % interval over" in page.read_text() and "test accuracy" not in page.read_text().lower()
    (note,) = [note for note in compared(capfd, made[0], made[2])["notes"] if "not comparable" in note]
    assert note.endswith(f"accuracies are not comparable: other parts of the data (test; {part})")


def test_runs_with_another_cut_of_the_data_are_not_paired_by_image(
    place: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["rerun", str(place / "a_run"), "data.split_seed=4", f"hydra.run.dir={tmp_path / 'b_run'}"]
    assert main.run_command_line(words) == 0
    assert "other test images" in capfd.readouterr().out
    assert compared(capfd, place / "a_run", tmp_path / "b_run")["pairs"][0]["images"] is None


def test_a_class_that_is_absent_is_named_and_one_that_is_unknown_is_refused(
    place: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    draw(tmp_path / "others" / "dark", 5)
    evaluated(place, tmp_path / "e", f"data.root={tmp_path}/others")
    assert "no images of 2 of the 3 classes: 'light', 'red'" in "".join(capfd.readouterr())
    for name in ("cat", "dog"):
        draw(tmp_path / "others" / name, 5)
    words = ["evaluate", f"run={place}/a_run", f"data.root={tmp_path}/others", f"hydra.run.dir={tmp_path}/f"]
    assert main.run_command_line(words) == 2
    assert "the model has no class 'cat', 'dog'; its 3 classes are 'dark', 'light', 'red'" in capfd.readouterr().err


def test_the_data_of_the_run_in_another_place_keep_its_parts(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "photos", tmp_path / "moved")
    result = evaluated(place, tmp_path / "e", f"data.root={tmp_path}/moved")
    trained = json.loads((place / "a_run" / "result.json").read_text())
    assert result["evaluated_images"] == trained["evaluated_images"]
    assert result["metrics"]["test/loss"] == trained["metrics"]["test/loss"]


@pytest.mark.parametrize("word", ["data.store_gigabytes=0.0", "data.max_side=10"])
def test_the_data_of_the_run_keep_its_parts_however_they_are_read(place: Path, tmp_path: Path, word: str) -> None:
    result = evaluated(place, tmp_path / "e", f"data.root={place}/photos", word)
    trained = json.loads((place / "a_run" / "result.json").read_text())
    assert result["evaluated_images"] == trained["evaluated_images"]
    assert result["trained_on"] == {"val": 0, "test": 0}
    kept = [{row["image"] for row in rows(directory)} for directory in (tmp_path / "e", place / "a_run")]
    assert kept[0] == kept[1]


def test_others_beside_images_of_the_run_are_scored_whole(place: Path, tmp_path: Path) -> None:
    """A folder of training images, and one with others too."""
    trained = {row["image"] for row in rows(place / "a_run")}
    for kind in ("dark", "light", "red"):
        for path in (place / "photos" / kind).iterdir():
            if f"{kind}/{path.name}" not in trained:
                (tmp_path / "others" / kind).mkdir(parents=True, exist_ok=True)
                shutil.copy(path, tmp_path / "others" / kind)
    num = len(list((tmp_path / "others").rglob("*.png")))
    result = evaluated(place, tmp_path / "e", f"data.root={tmp_path}/others")
    assert result["evaluated_images"] == result["trained_on"] == {"test": num}
    for kind in ("dark", "light", "red"):
        draw(tmp_path / "others" / kind, 5, first=50)
    assert evaluated(place, tmp_path / "f", f"data.root={tmp_path}/others")["evaluated_images"] == {"test": num + 15}


@pytest.mark.parametrize(("part", "num"), [("test", 6), ("val", 6), ("train", 48), ("all", 60)])
def test_a_part_of_the_data_of_the_run(place: Path, tmp_path: Path, part: str, num: int) -> None:
    result = evaluated(place, tmp_path / "e", f"evaluation.part={part}")
    assert result["evaluated_images"] == {part: num}
    if part in ("val", "test"):
        trained = json.loads((place / "a_run" / "result.json").read_text())
        assert result["metrics"][f"{part}/loss"] == trained["metrics"][f"{part}/loss"]


@pytest.mark.parametrize(
    ("folders", "words", "message"),
    [
        (["dark"], ["evaluation.part=tst"], "legal: test, val, train, all. Did you mean test?"),
        (["test/dark"], ["evaluation.part=train"], "the data set has no images in this part; legal: test, all"),
        (["dark"], ["evaluation/resolution=search"], "the data set has no val images; data.val_fraction=0.2"),
        (["dark"], ["evaluation/fine_tune=classifier_and_norm"], "evaluation/fine_tune: it trains on images"),
    ],
)
def test_what_the_images_do_not_allow_is_told_in_one_line(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], folders: list[str], words: list[str], message: str
) -> None:
    for folder in folders:
        draw(tmp_path / "others" / folder, 6, first=40)
    command = ["evaluate", f"run={place}/a_run", f"data.root={tmp_path}/others", *words]
    assert main.run_command_line([*command, f"hydra.run.dir={tmp_path}/e"]) == 2
    assert message in capsys.readouterr().err


def test_a_set_without_train_cannot_be_learned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("val/dark", "val/red", "test/dark", "test/red"):
        draw(tmp_path / "others" / folder, 6)
    words = ["train", *NETWORK, "data=image_folder", f"data.root={tmp_path}/others", f"hydra.run.dir={tmp_path}/e"]
    assert main.run_command_line(words) == 2
    assert "at least two classes with training images; none was found" in capsys.readouterr().err


def test_predictions_carry_the_names_of_the_files(place: Path, tmp_path: Path) -> None:
    found = rows(place / "a_run")
    assert list(found[0]) == ["image", "label", "prediction", "probability", "part"]
    arrays = np.load(place / "a_run" / "predictions.npz")
    assert len(found) == len(arrays["val_labels"]) + len(arrays["test_labels"])
    classes = ["dark", "light", "red"]
    for part in ("val", "test"):
        own = [row for row in found if row["part"] == part]
        assert [row["prediction"] for row in own] == [classes[k] for k in arrays[f"{part}_logits"].argmax(1)]
        assert [row["label"] for row in own] == [classes[k] for k in arrays[f"{part}_labels"]]
    for row in found:
        assert Path(place / "photos" / row["image"]).is_file() and row["image"].split("/")[0] == row["label"]
        assert 1 / 3 <= float(row["probability"]) <= 1
    wrong = {row["image"] for row in found if row["part"] == "test" and row["label"] != row["prediction"]}
    mistakes = rows(place / "a_run", "mistakes.csv")
    assert {row["image"] for row in mistakes} == wrong
    kept = np.load(place / "a_run" / "mistakes.npz")["confidence"]
    np.testing.assert_allclose([float(row["probability"]) for row in mistakes], kept, atol=1e-6)


def test_any_legal_file_name_stands_in_the_table(place: Path, tmp_path: Path) -> None:
    names = ["a b.png", "c,d.png", 'e"f.png', "g\nh.png", "\u732b.png", os.fsdecode(b"caf\xe9.png")]
    folder = tmp_path / "others" / "dark"
    draw(folder, len(names))
    for path, name in zip(sorted(folder.iterdir()), names, strict=True):
        path.rename(folder / name)
    evaluated(place, tmp_path / "e", f"data.root={tmp_path}/others")
    expected = {f"dark/{name}" for name in [*names[:-1], r"caf\xe9.png"]}
    assert {row["image"] for row in rows(tmp_path / "e")} == expected


def test_images_without_files_are_named_by_their_number(tmp_path: Path) -> None:
    assert main.run_command_line(["train", *TINY, "recipe=baseline", f"hydra.run.dir={tmp_path}/r"]) == 0
    numbers = [int(row["image"]) for row in rows(tmp_path / "r") if row["part"] == "test"]
    assert numbers == sorted(set(numbers)) and numbers[-1] < 60


@pytest.mark.parametrize("streamed", [False, True])
def test_a_set_of_test_images_alone_is_scored_from_a_store_and_from_files(
    place: Path, tmp_path: Path, streamed: bool
) -> None:
    draw(tmp_path / "others" / "test" / "red", 6, first=40)
    limit = ["data.store_gigabytes=0.0"] if streamed else []
    result = evaluated(place, tmp_path / "e", f"data.root={tmp_path}/others", *limit)
    assert result["evaluated_images"] == {"test": 6}
    assert {row["image"] for row in rows(tmp_path / "e")} == {f"test/red/{index}.png" for index in range(40, 46)}


@pytest.mark.parametrize(("split", "images"), [("", {"test": 6}), ("test", {"test": 6}), ("val", {"val": 6})])
def test_a_csv_file_is_scored_with_the_parts_it_has(
    place: Path, tmp_path: Path, split: str, images: dict[str, int]
) -> None:
    draw(tmp_path / "red", 6, first=40)
    lines = [f"red/{index}.png,red{f',{split}' if split else ''}" for index in range(40, 46)]
    (tmp_path / "list.csv").write_text("\n".join(["path,label" + (",split" if split else ""), *lines]))
    result = evaluated(place, tmp_path / "e", "data=csv", f"data.path={tmp_path}/list.csv", "data.image_size=16")
    assert result["evaluated_images"] == images


def test_classes_are_the_same_however_unicode_composes_their_names() -> None:
    data = open_data(composed(*TINY).experiment)
    mac = replace(data, classes=("a", "b", "cafe\u0301", "d"))
    known = ("d", "caf\u00e9", "b", "a")
    assert reorder_labels(mac, known).labels.tolist() == [3 - label for label in data.labels.tolist()]
