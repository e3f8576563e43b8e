"""The figures and the page of a run: complete, deterministic, correct, and made of unusual runs as well."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sota_exp.errors import ConfigError
from sota_exp.report.drawing.chart import NARROW, WIDE, format_live_specification
from sota_exp.report.run import confusion
from sota_exp.report.run.figure_data import RunFigureData
from sota_exp.report.run.figures import build_run_figures, draw_run_figures
from sota_exp.report.run.page import write_run_report
from sota_exp.report.run.reliability import bin_by_confidence, compute_confidence
from tests.conftest import compare_with_schema
from tests.finished_runs import make
from tests.report.pages import Page
from tests.report.pictures import Picture
from tests.report.studies import calibration_error

NAMES = {"learning_curves", "learning_rate", "confusion_matrix", "reliability", "worst_mistakes"}


def write_run(
    directory: Path, num_epochs: int = 3, num_classes: int = 4, is_averaged: bool = True, mistakes: int = 5
) -> Path:
    rng = np.random.default_rng(0)
    labels = np.arange(40) % num_classes
    logits = rng.normal(size=(40, num_classes)).astype(np.float16)
    names = [f"class {number}" for number in range(num_classes)]
    make(directory, per_class_accuracy=dict.fromkeys(names, 0.5), commit=None)
    epochs: list[dict[str, Any]] = []
    for number in range(num_epochs):
        epochs.append({"epoch": number + 1, "train/loss": 1.0, "train/lr": 0.1, "val/loss": 1.0, "val/accuracy": 0.5})
        if is_averaged:
            epochs[-1] |= {"val_raw/loss": 1.1, "val_raw/accuracy": 0.4}
    result = json.loads((directory / "result.json").read_text())
    result["metrics"] |= {"best/epoch": num_epochs, "val/accuracy": 0.5}
    result["confused_pairs"] = [{"label": names[1], "prediction": names[0], "images": 8, "share": 0.4}]
    result["confusion_matrix"] = rng.integers(0, 9, (num_classes, num_classes)).tolist()
    images = rng.integers(0, 255, (mistakes, 3, 12, 12), dtype=np.uint8)
    (directory / "metrics.jsonl").write_text("".join(json.dumps(epoch) + "\n" for epoch in epochs))
    (directory / "result.json").write_text(json.dumps(result))
    (directory / "model.json").write_text(json.dumps({"classes": names}))
    np.savez(directory / "predictions.npz", test_logits=logits, test_labels=labels)
    zeros = np.zeros(mistakes, dtype=np.int64)
    np.savez(directory / "mistakes.npz", images=images, true=zeros, predicted=zeros + 1, confidence=zeros + 0.9)
    lines = ["image,label,prediction,probability,part", *(f"a/photo {at}.jpg,x,y,0.9,test" for at in range(mistakes))]
    (directory / "mistakes.csv").write_text("\n".join(lines) + "\n")
    return directory


def draw(run: RunFigureData, width: float = WIDE) -> dict[str, Picture]:
    """The pictures of the run by name."""
    return {figure.name: Picture(figure.to_svg(width)) for figure in build_run_figures(run)}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_epochs": 1, "is_averaged": False, "mistakes": 0},
        {"num_classes": 41},
        *(
            pytest.param(one, marks=pytest.mark.torture)
            for one in ({"num_epochs": 1}, {"is_averaged": False}, {"mistakes": 0})
        ),
    ],
    ids=["usual", "little", "many classes", "one epoch", "no average", "no mistake"],
)
def test_every_picture_is_drawn(tmp_path: Path, changes: dict[str, Any]) -> None:
    draw_run_figures(write_run(tmp_path, **changes))
    made = [path for path in (tmp_path / "figures").iterdir() if path.stat().st_size > 3]
    names = NAMES - {"worst_mistakes"} if "mistakes" in changes else NAMES
    names = names - {"confusion_matrix"} | {"worst_confusions"} if "num_classes" in changes else names
    assert {path.stem for path in made} == names
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in made)


def test_a_class_without_test_images_is_drawn(tmp_path: Path) -> None:
    run = RunFigureData.read(write_run(tmp_path))
    without = replace(run, result=run.result | {"confusion_matrix": [[0] * 4, *run.result["confusion_matrix"][1:]]})
    one, other = ({figure.name: figure.to_svg(WIDE) for figure in build_run_figures(each)} for each in (run, without))
    assert {name for name in one if one[name] != other[name]} == {"confusion_matrix"}


def test_pictures_are_the_same_at_every_drawing(tmp_path: Path) -> None:
    draw_run_figures(write_run(tmp_path))
    first = {path.name: path.read_bytes() for path in (tmp_path / "figures").iterdir()}
    draw_run_figures(tmp_path)
    assert first == {path.name: path.read_bytes() for path in (tmp_path / "figures").iterdir()}


def test_confidences_are_those_of_the_softmax(tmp_path: Path) -> None:
    import torch

    run = RunFigureData.read(write_run(tmp_path))
    confidence, correct = compute_confidence(run.logits, run.labels)
    reference = torch.from_numpy(run.logits).double().softmax(1).max(1)
    np.testing.assert_allclose(confidence, reference.values.numpy(), rtol=1e-12)
    assert (correct == (reference.indices.numpy() == run.labels)).all()


def test_logits_that_half_precision_holds_as_infinite_are_the_surest(recwarn):
    logits = np.float32([[np.inf, 1, 2], [0, -np.inf, 1], [1, np.inf, -np.inf]])
    confidence, correct = compute_confidence(logits, np.array([0, 0, 1]))
    assert confidence == pytest.approx([1, np.e / (1 + np.e), 1]) and correct.tolist() == [True, False, True]
    assert not recwarn.list


def test_curves_tell_their_values_where_scripts_run(tmp_path: Path) -> None:
    figures = {figure.name: figure for figure in build_run_figures(RunFigureData.read(write_run(tmp_path)))}
    live = format_live_specification(figures["learning_curves"].tree)
    assert live.count('"tooltip"') == 2 and '"bind"' not in live
    assert '"bind"' not in format_live_specification(figures["reliability"].tree)  # its rings would be cut


def test_a_run_without_predictions_says_so(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=str(tmp_path)):
        draw_run_figures(tmp_path)


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_numbers_and_names_are_in_the_pictures(tmp_path: Path, width: float, monkeypatch: pytest.MonkeyPatch) -> None:
    compare_with_schema(monkeypatch)
    run = RunFigureData.read(write_run(tmp_path))
    odd = ["a class name that is much too long for the margin of a picture", "犬", "$x_1$ <b>", "犬"]
    run = replace(run, classes=odd)
    found = draw(run, width)
    matrix = found["confusion_matrix"]
    counts = [str(num) for row in run.result["confusion_matrix"] for num in row if num]
    assert sorted(word for word in matrix.words if word.isdigit()) == sorted(counts)
    assert matrix.words.count("犬") == 4 and "$x_1$ <b>" in matrix.words
    assert any("…" in word and odd[0].startswith(word.partition("…")[0]) for word in matrix.words)
    assert {"train", "val, raw weights", "val, averaged weights", "epoch"} <= set(found["learning_curves"].words)
    assert "saved weights: 50.00 %, epoch 3" in found["learning_curves"].words
    mistakes = found["worst_mistakes"]
    assert mistakes.words.count("90 % for 犬") == 5 and sum(mark.tag == "image" for mark in mistakes.marks) == 5
    assert {f"a/photo {at}.jpg" for at in range(5)} <= set(mistakes.words)
    assert "confidence, %" in found["reliability"].words
    for name, each in found.items():
        assert each.find_overlaps() == each.find_cut() == []
        assert each.width < 1.1 * width, name


def test_numbers_of_axes_are_written_out(tmp_path: Path) -> None:
    run = RunFigureData.read(write_run(tmp_path))
    steep = [epoch | {"train/loss": 50.0 - 20 * (epoch["epoch"] - 1), "train/lr": 1e-5} for epoch in run.epochs]
    found = draw(replace(run, epochs=steep))
    words = [*found["learning_curves"].words, *found["learning_rate"].words]
    assert "50" in words and not any("e+" in word or word.endswith(("0000", "1e-5")) for word in words)


@pytest.mark.parametrize(("num", "width"), [(2, WIDE), (2, NARROW), (40, WIDE), (40, NARROW), (100, NARROW)])
def test_a_confusion_matrix_has_a_cell_per_pair_of_classes(tmp_path: Path, num: int, width: float) -> None:
    found = draw(RunFigureData.read(write_run(tmp_path, num_classes=num)), width)
    assert (("confusion_matrix" in found), ("worst_confusions" in found)) == (num <= 40, num > 20)
    if num <= (40 if width == WIDE else 20):
        words = found["confusion_matrix"].words
        assert words.count("class 0") == words.count(f"class {num - 1}") == 2
    for each in (found[name] for name in ("confusion_matrix", "worst_confusions") if name in found):
        assert each.find_overlaps() == each.find_cut() == []
        assert each.width < 1.15 * width


def test_classes_that_are_confused_stand_together_and_the_worst_are_shown() -> None:
    counts = np.diag([50.0] * 30)
    for one, other in ((0, 29), (7, 20), (12, 3)):
        counts[one, other], counts[other, one] = 40, 30
    order = confusion.order_classes(counts)
    assert sorted(order) == list(range(30))
    assert all(abs(order.index(one) - order.index(other)) == 1 for one, other in ((0, 29), (7, 20), (12, 3)))
    assert set(confusion.find_confused_classes(counts)) == {0, 29, 7, 20, 12, 3}
    assert confusion.find_confused_classes(np.diag([5.0] * 30)) == []
    everything = confusion.find_confused_classes(np.ones((100, 100)))
    assert len(everything) == len(set(everything)) == confusion.MAX_COUNTS


def test_a_class_that_is_confused_with_others_than_the_shown_ones_has_images(tmp_path: Path) -> None:
    run = RunFigureData.read(write_run(tmp_path, num_classes=3))
    result = run.result | {"confusion_matrix": [[5, 3, 0], [0, 0, 4], [0, 0, 0]]}
    cells = json.dumps(confusion.draw_classes(replace(run, result=result), WIDE, [0, 1]).to_dict())
    assert cells.count('"there": true') == 4 and '"there": false' not in cells


@pytest.mark.usefixtures("charts_only_made")
@pytest.mark.parametrize("num", [2, 40])
def test_the_page_of_a_run_has_its_scores_classes_mistakes_and_command(tmp_path: Path, num: int) -> None:
    directory = write_run(tmp_path / "a run", num_classes=num)
    config = directory / "config.yaml"
    config.write_text(
        config.read_text().replace("  name: fake", f"  cache: {Path.home()}/.cache/sota_exp\n  name: fake")
    )
    page = Page(write_run_report(directory).paths[0].read_text())
    result = json.loads((directory / "result.json").read_text())
    for words in (
        "baseline on fake, seed 0",
        "Test accuracy 70.00 %, 95 % interval",
        "sota-exp train",
        "augmentation/crop",
    ):
        assert words in page.text, words
    classes = next(table for table in page.tables if "Recognized" in table.heads)
    counts = np.array(result["confusion_matrix"])
    assert [row[0] for row in classes.rows] == [f"class {number}" for number in range(num)]
    shares = 100 * np.diag(counts) / counts.sum(1)
    assert classes.column("Recognized") == [f"{share:.2f} %" for share in shares]
    pairs = next(table for table in page.tables if "Taken for" in table.heads)
    assert pairs.rows == [["class 1", "class 0", "8", "40.00 %"]]
    assert {"config.yaml", "result.json", "mistakes.csv"} <= {link for link in page.links if "." in link}
    assert "cache: ~/.cache/sota_exp" in page.text and f"{Path.home()}/" not in page.text
    before = (directory / "report.html").read_bytes()
    write_run_report(directory)
    assert (directory / "report.html").read_bytes() == before


def test_a_page_is_made_of_a_finished_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is failed: a page is made of a finished run"):
        write_run_report(make(tmp_path / "failed", status="failed"))
    gone = write_run(tmp_path / "gone")
    (gone / "mistakes.npz").unlink()
    with pytest.raises(ConfigError, match="no page can be made"):
        write_run_report(gone)


def test_altair_waits_until_it_is_needed() -> None:
    import subprocess
    import sys

    code = "import sota_exp.report.run.figures, sys; sys.exit(bool({'matplotlib', 'altair', 'vl_convert'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_close_logits_are_told_apart_and_infinite_ones_of_older_versions_are_read() -> None:
    close = np.array([[0.0, 1e-17]])  # their probabilities are equal
    assert compute_confidence(close, np.array([1]))[1].tolist() == [True]
    confidence, correct = compute_confidence(np.array([[np.inf, 0.0, -np.inf]], dtype=np.float16), np.array([0]))
    assert confidence.tolist() == [1.0] and correct.tolist() == [True]


def test_reliability_has_a_ring_per_bin_and_a_diagonal(tmp_path: Path) -> None:
    run = RunFigureData.read(write_run(tmp_path))
    sure = replace(run, logits=np.log(np.array([[0.8, 0.2], [0.8, 0.2], [0.5, 0.5]])), labels=np.array([0, 1, 0]))
    found = draw(sure)["reliability"]
    assert found.tips == ["confidence 50 %: 100 % right, 33 % of images", "confidence 80 %: 50 % right, 67 % of images"]
    assert found.count(stroke_dasharray="3,3") == 1
    assert {"confidence, %", "100", "calibration error 10.00 %"} <= set(found.words) and found.find_overlaps() == []


def test_the_reliability_diagram_holds_the_calibration_error() -> None:
    """Σ weight · |accuracy − confidence| over the bins is the calibration error of the predictions."""
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(400, 5)), rng.integers(0, 5, 400)
    found = bin_by_confidence(*compute_confidence(logits, labels))
    assert sum(each["images"] for each in found) == 400
    error = sum(each["weight"] * abs(each["correct"] - each["confidence"]) for each in found)
    assert error == pytest.approx(calibration_error(logits, labels))
