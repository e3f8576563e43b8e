"""The figures of a run: complete, deterministic, correct, and drawn for unusual runs as well."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sota_exp.config.formats import FILE_FORMAT
from sota_exp.report.drawing.chart import chart_to_svg
from sota_exp.report.run import charts
from sota_exp.report.run.figure_data import RunFigureData
from sota_exp.report.run.figures import draw_run_figures
from sota_exp.report.run.predictions import compute_confidence
from tests.report.pictures import Picture

NAMES = {"learning_curves", "learning_rate", "confusion_matrix", "reliability", "worst_mistakes"}


def write_run(
    directory: Path, num_epochs: int = 3, num_classes: int = 4, is_averaged: bool = True, mistakes: int = 5
) -> Path:
    rng = np.random.default_rng(0)
    labels = np.arange(40) % num_classes
    logits = rng.normal(size=(40, num_classes)).astype(np.float16)
    epochs: list[dict[str, Any]] = []
    for number in range(num_epochs):
        epochs.append({"epoch": number + 1, "train/loss": 1.0, "train/lr": 0.1, "val/loss": 1.0, "val/accuracy": 0.5})
        if is_averaged:
            epochs[-1] |= {"val_raw/loss": 1.1, "val_raw/accuracy": 0.4}
    result = {
        "format": FILE_FORMAT,
        "metrics": {"best/epoch": num_epochs, "val/accuracy": 0.5, "test/ece": 0.1},
        "confusion_matrix": rng.integers(0, 9, (num_classes, num_classes)).tolist(),
    }
    images = rng.integers(0, 255, (mistakes, 3, 12, 12), dtype=np.uint8)
    (directory / "metrics.jsonl").write_text("".join(json.dumps(epoch) + "\n" for epoch in epochs))
    (directory / "result.json").write_text(json.dumps(result))
    (directory / "model.json").write_text(json.dumps({"classes": [f"class {number}" for number in range(num_classes)]}))
    np.savez(directory / "predictions.npz", test_logits=logits, test_labels=labels)
    zeros = np.zeros(mistakes, dtype=np.int64)
    np.savez(directory / "mistakes.npz", images=images, true=zeros, predicted=zeros + 1, confidence=zeros + 0.9)
    return directory


@pytest.mark.parametrize(
    "changes",
    [{}, {"num_epochs": 1}, {"is_averaged": False}, {"mistakes": 0}, {"num_classes": 1000}],
    ids=["usual", "one epoch", "no average", "no mistake", "many classes"],
)
def test_every_picture_is_drawn(tmp_path: Path, changes: dict[str, Any]) -> None:
    draw_run_figures(write_run(tmp_path, **changes))
    made = list((tmp_path / "figures").iterdir())
    assert {path.name for path in made} == {f"{name}.png" for name in NAMES}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in made)


def test_a_class_without_test_images_is_drawn(tmp_path: Path) -> None:
    directory = write_run(tmp_path)
    result = json.loads((directory / "result.json").read_text())
    result["confusion_matrix"][1] = [0, 0, 0, 0]
    (directory / "result.json").write_text(json.dumps(result))
    draw_run_figures(directory)
    with_the_class = write_run(tmp_path)
    picture = (directory / "figures" / "confusion_matrix.png").read_bytes()
    draw_run_figures(with_the_class)
    assert picture != (directory / "figures" / "confusion_matrix.png").read_bytes()


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


def test_a_run_without_predictions_says_so(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=str(tmp_path)):
        draw_run_figures(tmp_path)


def test_numbers_and_names_are_in_the_pictures(tmp_path: Path) -> None:
    run = RunFigureData.read(write_run(tmp_path))
    odd = ["a class name that is much too long for the margin of a picture", "犬", "$x_1$ <b>", "犬"]
    run = replace(run, classes=odd)
    matrix = Picture(chart_to_svg(charts.draw_confusion_matrix(run)))
    counts = [str(num) for row in run.result["confusion_matrix"] for num in row if num]
    assert sorted(word for word in matrix.words if word.isdigit()) == sorted(counts)
    assert matrix.words.count("犬") == 4 and "$x_1$ <b>" in matrix.words
    assert any(word.endswith("…") and odd[0].startswith(word[:20]) for word in matrix.words)
    curves = Picture(chart_to_svg(charts.draw_learning_curves(run)))
    names = {"train", "val, raw weights", "val, averaged weights", "epoch"}
    assert names | {"Accuracy on val: 50.00 % of the saved weights, epoch 3"} <= set(curves.words)
    steep = [epoch | {"train/loss": 50.0 - 20 * (epoch["epoch"] - 1), "train/lr": 1e-5} for epoch in run.epochs]
    words = [
        word
        for draw in (charts.draw_learning_curves, charts.draw_learning_rate)
        for word in Picture(chart_to_svg(draw(replace(run, epochs=steep)))).words
    ]
    assert "50" in words and not any("e+" in word or word.endswith(("0000", "1e-5")) for word in words)
    mistakes = Picture(chart_to_svg(charts.draw_worst_mistakes(run)))
    assert mistakes.words.count("90 % for 犬") == 5 and sum(mark.tag == "image" for mark in mistakes.marks) == 5
    reliability = Picture(chart_to_svg(charts.draw_run_reliability(run)))
    assert {"Reliability on test (calibration error 10.00 %)", "images", "confidence of the prediction"} <= set(
        reliability.words
    )
    for each in (matrix, curves, mistakes, reliability):
        assert each.find_overlaps() == each.find_cut() == []


@pytest.mark.parametrize("num", [2, 40, 1000])
def test_a_confusion_matrix_has_a_cell_per_pair_of_classes(tmp_path: Path, num: int) -> None:
    run = RunFigureData.read(write_run(tmp_path, num_classes=num))
    drawn = charts.draw_confusion_matrix(run)
    found = Picture(chart_to_svg(drawn))
    if num > 40:
        assert "1,000" in found.words and sum(mark.tag == "image" for mark in found.marks) == 1
    else:
        assert found.words.count("class 0") == found.words.count(f"class {num - 1}") == 2
        assert len(drawn.to_dict()["data"]["values"]) == num**2
    assert found.find_overlaps() == found.find_cut() == []


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
