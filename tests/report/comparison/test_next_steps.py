"""What a comparison says would decide its open differences."""

from pathlib import Path

import numpy as np
import pytest

from sota_exp.report.comparison.compare_runs import compare_runs
from sota_exp.report.comparison.terminal import comparison_to_json
from sota_exp.runs.find import SavedRun
from tests.finished_runs import make, right

MIXUP = {"augmentation/mix": "mixup"}


def compare(tmp_path: Path, plain: list[list[bool]], mixed: list[list[bool]]) -> list[str]:
    found = [make(tmp_path / f"plain{seed}", seed, correct=each) for seed, each in enumerate(plain)]
    found += [
        make(tmp_path / f"mixed{seed}", seed, {"augmentation.mix.alpha": 0.2}, MIXUP, each)
        for seed, each in enumerate(mixed)
    ]
    comparison = compare_runs([SavedRun.read(each) for each in found])
    assert comparison_to_json(comparison)["next"] == comparison.next
    return comparison.next


@pytest.mark.parametrize(
    ("plain", "mixed", "words"),
    [
        ([30], [33], "Fewer than two seeds of both, so the noise of training is unknown: 6 seeds ("),
        ([28, 30, 31], [28, 30, 31], "It is right on the same of the 40 test images as its reference at every seed"),
        ([28, 29, 30], [30, 31, 32], "The difference is the same at every seed"),
        ([20, 21, 19], [38, 39, 40], "Nothing is open: every interval over seeds and images excludes zero."),
    ],
)
def test_the_first_sentence(tmp_path: Path, plain: list[int], mixed: list[int], words: str) -> None:
    found = compare(tmp_path, [right(num) for num in plain], [right(num) for num in mixed])
    assert words in found[0]


def test_seeds_are_named_with_the_time_that_they_take_and_how_to_add_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    plain, mixed = ([(rng.random(40) < share).tolist() for _ in range(4)] for share in (0.6, 0.7))
    found = compare(tmp_path, plain, mixed)
    assert found[0].startswith("B − A: ") and ("seeds (" in found[0]) == found[-1].startswith("If effects are as they")


def test_runs_at_chance_level_are_told_to_learn_something(tmp_path: Path) -> None:
    (words,) = compare(tmp_path, [right(9), right(10)], [right(10), right(8)])
    assert words.startswith("None of these runs learned anything: all are at chance level")


def test_runs_that_cannot_be_compared_have_nothing_next(tmp_path: Path) -> None:
    assert compare(tmp_path, [right(30)], []) == []
