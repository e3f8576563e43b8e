"""The exact differences of two runs."""

from pathlib import Path

from sota_exp.report.comparison.config_difference import ConfigDifference, find_config_difference
from sota_exp.runs.find import SavedRun
from tests.finished_runs import make


def between(one: Path, other: Path) -> ConfigDifference:
    return find_config_difference(SavedRun.read(one), SavedRun.read(other))


def test_equal_runs_differ_in_nothing(tmp_path: Path) -> None:
    found = between(make(tmp_path / "a"), make(tmp_path / "b"))
    assert not (found.choices or found.values or found.environment)


def test_choices_values_and_surroundings(tmp_path: Path) -> None:
    changed = {
        "optimizer._option_": "adam",
        "optimizer.lr": None,
        "optimizer.betas": [0.9, 0.99],
    }
    other = make(tmp_path / "b", 1, changed, {"optimizer": "adam"}, digest="e" * 64, versions={"torch": "2.15.0"})
    found = between(make(tmp_path / "a"), other)
    assert found.choices == {"optimizer": ("sgd", "adam")}
    assert found.values == {
        "seed": ("0", "1"),
        "optimizer.lr": ("0.01", "null"),
        "optimizer.betas": ("–", "[0.9, 0.99]"),
    }
    assert found.environment == {"data digest": ("d" * 64, "e" * 64), "torch": ("2.14.0", "2.15.0")}


def test_it_is_the_same_from_either_side(tmp_path: Path) -> None:
    one, other = make(tmp_path / "a"), make(tmp_path / "b", values={"batch_size": 8})
    there, back = between(one, other), between(other, one)
    assert there.values == {"batch_size": ("64", "8")}
    assert back.values == {key: pair[::-1] for key, pair in there.values.items()}


def test_another_class_of_the_same_choice_is_seen(tmp_path: Path) -> None:
    one, other = (make(tmp_path / name, values={"optimizer._target_": name}) for name in ("mine.A", "mine.B"))
    assert between(one, other).values == {"optimizer._target_": ("mine.A", "mine.B")}
