"""The files of predictions agree with the scores, image by image, also where a network nearly diverged."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sota_exp.data.open import open_data
from sota_exp.report.run.reliability import compute_confidence
from sota_exp.training.evaluator import Evaluator
from sota_exp.training.listener import Listener, RunRequest
from sota_exp.training.prediction_files import list_predictions, write_table
from sota_exp.training.run import run
from tests.experiments import TINY, composed


def test_a_nearly_diverged_network_has_one_prediction_per_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its logits exceed half precision: files, figures and scores name the same class for every image all the same."""
    scored = Evaluator.logits
    monkeypatch.setattr(Evaluator, "logits", lambda *given: scored(*given) * 1e9)
    result = run(RunRequest(configuration=composed(*TINY), directory=tmp_path), Listener())
    arrays = np.load(tmp_path / "predictions.npz")
    assert np.abs(arrays["test_logits"]).max() > np.finfo(np.float16).max
    rows = list(csv.DictReader((tmp_path / "predictions.csv").read_text().splitlines()))
    for part in ("val", "test"):
        right = [row["label"] == row["prediction"] for row in rows if row["part"] == part]
        assert right == np.unpackbits(arrays[f"{part}_correct"], count=len(right)).astype(bool).tolist()
        assert np.mean(right) == pytest.approx(result["metrics"][f"{part}/accuracy"])
        assert compute_confidence(arrays[f"{part}_logits"], arrays[f"{part}_labels"])[1].tolist() == right
    wrong = [row for row in rows if row["part"] == "test" and row["label"] != row["prediction"]]
    mistakes = list(csv.DictReader((tmp_path / "mistakes.csv").read_text().splitlines()))
    assert sorted(map(str, mistakes)) == sorted(map(str, wrong))
    assert np.isfinite(np.load(tmp_path / "mistakes.npz")["confidence"]).all()


def test_names_that_are_not_utf_8_are_escaped(tmp_path: Path) -> None:
    data = replace(open_data(composed(*TINY).experiment), names=("caf\udce9/é.png",) * 60)
    arrays = {"test_logits": np.zeros((6, 4), np.float32), "test_labels": np.zeros(6, np.int64)}
    write_table(tmp_path / "a.csv", list_predictions(data, "test", arrays))
    assert (tmp_path / "a.csv").read_text("utf-8").splitlines()[1].startswith("caf\\xe9/é.png,")
