"""Whether training again gives bitwise the same run."""

import json
from pathlib import Path

import numpy as np
import pytest

from sota_exp.report.comparison.repeatability import Repetition, compare_repetition
from sota_exp.runs.find import SavedRun
from tests.finished_runs import make, right

SCORES = 8


def again(one: Path, other: Path) -> Repetition:
    return compare_repetition(SavedRun.read(one), SavedRun.read(other))


def change_epoch(directory: Path, number: int, **values: float) -> None:
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    lines[number] |= values
    (directory / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    return make(tmp_path / "a"), make(tmp_path / "b")


def test_equal_runs_are_equal_in_all_that_is_compared(two: tuple[Path, Path]) -> None:
    found = again(*two)
    assert found.is_same_training and found.changed == found.differing == found.surroundings == {}
    assert found.compared == ["3 epochs of metrics", f"{SCORES} scores", "predictions", "weights"]


def test_the_clock_is_left_out(two: tuple[Path, Path]) -> None:
    change_epoch(two[1], 0, seconds=99.0, validate_seconds=9.0, images_per_second=1.0)
    assert again(*two).differing == {}


def test_the_first_epoch_that_differs_is_named(two: tuple[Path, Path]) -> None:
    for number in (1, 2):
        change_epoch(two[1], number, **{"train/loss": 5.0})
    assert again(*two).differing == {"epoch 2: train/loss": ("1.0", "5.0")}


def test_scores_predictions_and_weights_differ_by_themselves(tmp_path: Path, two: tuple[Path, Path]) -> None:
    other = make(tmp_path / "c", correct=right(29))
    (other / "model.safetensors").write_bytes(b"others")
    found = again(two[0], other)
    assert found.differing["test/accuracy"] == ("0.7", "0.725")
    assert set(found.differing) == {"test/accuracy", "predictions", "weights"}


def test_a_bit_of_a_logit_is_enough(two: tuple[Path, Path]) -> None:
    with np.load(two[1] / "predictions.npz") as arrays:
        there = dict(arrays)
    there["test_logits"][0, 0] = 1e-7
    np.savez(two[1] / "predictions.npz", **there)
    assert again(*two).differing == {"predictions": ("", "differ")}


def test_a_run_of_an_older_version_is_compared_in_its_half_precision(two: tuple[Path, Path]) -> None:
    with np.load(two[1] / "predictions.npz") as arrays:
        there = {name: array.astype(np.float32) if "logits" in name else array for name, array in arrays.items()}
    np.savez(two[1] / "predictions.npz", **there | {"test_logits": there["test_logits"] + 1e-9})
    assert again(*two).differing == {}
    np.savez(two[1] / "predictions.npz", **there | {"test_logits": there["test_logits"] + 1e-3})
    assert again(*two).differing == {"predictions": ("", "differ")}


def test_an_interrupted_run_is_compared_as_far_as_it_went(tmp_path: Path, two: tuple[Path, Path]) -> None:
    found = again(make(tmp_path / "c", status="interrupted", num_epochs=1), two[1])
    assert found.is_same_training and found.compared == ["1 epoch of metrics"] and found.differing == {}


def test_a_killed_run_is_the_same_training_by_its_configuration(tmp_path: Path, two: tuple[Path, Path]) -> None:
    assert again(make(tmp_path / "c", status=None), two[1]).is_same_training
    assert not again(make(tmp_path / "d", status=None, values={"batch_size": 8}), two[1]).is_same_training


def test_another_training_owes_no_equal_numbers(tmp_path: Path, two: tuple[Path, Path]) -> None:
    other = make(tmp_path / "c", 1, training_fingerprint="another")
    found = again(two[0], other)
    assert not found.is_same_training and found.changed == {"seed": ("0", "1")}
