"""A study of networks that have learned nothing says so first: in study.json, on the terminal, in the plan, on the page."""

from pathlib import Path

import numpy as np
import pytest

from sota_exp.report.study.answer import build_study_answer
from sota_exp.report.study.read import read_study
from sota_exp.runs.chance import compute_chance_accuracy, compute_chance_limit, is_at_chance
from sota_exp.study import terminal
from sota_exp.study.chance import NOTHING_COMPARED, ONE_LEARNED
from sota_exp.study.files import StudyFiles
from sota_exp.study.results import StudyRuns
from sota_exp.study.study_json import build_study_json
from sota_exp.study.terminal_plan import format_study_plan
from sota_exp.tracking.mlflow_study import format_study_note
from tests.study.studies import chain, study, write_run
from tests.study.test_terminal import printed

TEN_CLASSES = {"per_class_accuracy": {f"class{index}": 0.5 for index in range(10)}}


def make(tmp_path: Path, accuracies: dict[str, list[float]]) -> tuple:
    """A ladder of ten classes whose arms have these test accuracies by seed."""
    made, files = study(chain(*accuracies), seeds=6), StudyFiles(directory=tmp_path)
    labels = np.arange(200) % 2
    for each in made.arms.ready:
        for seed, accuracy in enumerate(accuracies[each.name]):
            correct = np.random.default_rng(seed).permutation(200) < 200 * accuracy
            write_run(tmp_path / files.place(each, seed), correct, labels, **TEN_CLASSES)
    return made, files, build_study_json(made, StudyRuns.read(made, files, {}))


@pytest.mark.parametrize(
    ("result", "chance"),
    [
        ({"per_class_accuracy": dict.fromkeys("abcd")}, 0.25),
        ({"per_class_accuracy": dict.fromkeys("ab"), "confusion_matrix": [[9, 0], [1, 0]]}, 0.9),
        ({"per_class_accuracy": dict.fromkeys("ab"), "confusion_matrix": [[0, 0], [0, 0]]}, 0.5),
    ],
)
def test_chance_is_the_share_of_the_most_frequent_class(result: dict, chance: float) -> None:
    assert compute_chance_accuracy(result) == chance


@pytest.mark.parametrize(
    ("chance", "limit"), [(0.1, 0.145), (0.5, 0.525), (0.01, 0.015), (0.001, 0.0015), (0.9, 0.905), (1.0, 1.0)]
)
def test_the_limit_is_near_chance_for_any_number_of_classes(chance: float, limit: float) -> None:
    assert compute_chance_limit(chance) == pytest.approx(limit)


@pytest.mark.parametrize(("accuracy", "is_chance"), [(0.1, True), (0.145, True), (0.15, False), (None, False)])
def test_a_run_is_at_chance_level_up_to_the_limit(accuracy: float | None, is_chance: bool) -> None:
    assert is_at_chance({"metrics": {"test/accuracy": accuracy}, **TEN_CLASSES}) is is_chance


def test_a_study_at_chance_level_says_so_before_anything_else(tmp_path: Path) -> None:
    made, files, found = make(tmp_path, {"a": [0.10, 0.11, 0.12, 0.10, 0.09, 0.11], "b": [0.12] * 6})
    assert found["warning"].startswith("All 2 arms are at chance level: at best 12.00 % test accuracy, where naming")
    assert "has 10.00 %" in found["warning"]
    files.write(found)
    for text in (
        printed(terminal.format_study_result(found)),
        printed(format_study_plan(made, files, {})),
    ):
        assert text.lstrip().startswith("Warning: All 2 arms are at chance level")
    assert build_study_answer(read_study(tmp_path)).startswith("**Warning: All 2 arms are at chance level")
    assert "**Warning**: All 2 arms" in format_study_note(found)


def test_some_arms_and_single_runs_at_chance_level_are_named(tmp_path: Path) -> None:
    accuracies = {"a": [0.8] * 6, "b": [0.1] * 6, "c": [0.8, 0.1, 0.82, 0.8, 0.79, 0.8]}
    _, files, found = make(tmp_path, accuracies)
    files.write(found)
    first, *_, last = build_study_answer(read_study(tmp_path)).split("\n\n")
    assert "1 hurts" in first or "1 of 2" in first
    assert last.startswith("Warning: 1 of 3 arms is at chance level")
    text = printed(terminal.format_study_result(found))
    assert text.index("verdict") < text.index("Warning: 1 of 3 arms") < text.index("What next")
    assert found["warning"].startswith("1 of 3 arms is at chance level (B): at best 10.00 %")
    assert "1 run of other arms collapsed to chance level: C with seed 1." in found["warning"]


@pytest.mark.parametrize(
    ("accuracies", "one_learned", "nothing_compared"),
    [((0.8, 0.1), True, False), ((0.1, 0.8), True, False), ((0.1, 0.1), False, True), ((0.8, 0.1, 0.1), True, True)],
)
def test_a_difference_from_an_arm_that_has_learned_is_worth_its_direction(
    accuracies: tuple[float, ...], one_learned: bool, nothing_compared: bool, tmp_path: Path
) -> None:
    """A verdict of p 0.004 stood above the warning that differences say nothing."""
    _, _, found = make(tmp_path, {name: [value] * 6 for name, value in zip("abc", accuracies, strict=False)})
    assert [words in found["warning"] for words in (ONE_LEARNED, NOTHING_COMPARED)] == [one_learned, nothing_compared]


def test_a_study_that_learned_has_no_warning(tmp_path: Path) -> None:
    _, _, found = make(tmp_path, {"a": [0.5] * 6, "b": [0.15] * 6})
    assert found["warning"] == "" and "Warning" not in printed(terminal.format_study_result(found))
