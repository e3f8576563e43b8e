"""The figures of a run: complete, deterministic, correct, and drawn for unusual runs as well."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sota_exp.report.run.figures import RunFigureData, draw_run_figures
from sota_exp.report.run.predictions import compute_confidence

NAMES = {"learning_curves", "learning_rate", "confusion_matrix", "reliability", "worst_mistakes"}


def write_run(
    directory: Path, num_epochs: int = 3, num_classes: int = 4, is_averaged: bool = True, mistakes: int = 5
) -> Path:
    rng = np.random.default_rng(0)
    labels = np.arange(40) % num_classes
    logits = rng.normal(size=(40, num_classes)).astype(np.float16)
    epochs: list[dict[str, Any]] = []
    for number in range(num_epochs):
        epochs.append({"epoch": number, "train/loss": 1.0, "train/lr": 0.1, "val/loss": 1.0, "val/accuracy": 0.5})
        if is_averaged:
            epochs[-1] |= {"val_raw/loss": 1.1, "val_raw/accuracy": 0.4}
    result = {
        "metrics": {"best/epoch": num_epochs - 1, "val/accuracy": 0.5, "test/ece": 0.1},
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
    [{}, {"num_epochs": 1}, {"is_averaged": False}, {"mistakes": 0}, {"num_classes": 45}],
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


def test_matplotlib_waits_until_it_is_needed() -> None:
    import subprocess
    import sys

    code = "import sota_exp.report.run.figures, sys; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
