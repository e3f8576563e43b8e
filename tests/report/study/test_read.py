"""Reading `study.json`: values are typed, absent ones are None, malformed ones are named in the error."""

import json
from pathlib import Path
from typing import Any

import pytest

from sota_exp.errors import ConfigError
from sota_exp.report.study.read import read_study
from sota_exp.report.study.study import ConfidenceInterval, StudyResult
from sota_exp.statistics.units import PLAIN_FORMAT, SHARE_FORMAT
from tests.report.studies import STEPS, read_tree, write_study, write_tree

ARM = {"name": "a", "reference": None}


def read(directory: Path, tree: dict[str, Any]) -> StudyResult:
    write_tree(directory, tree)
    return read_study(directory)


def test_a_study_is_read_whole(tmp_path: Path) -> None:
    study = read_study(write_study(tmp_path, STEPS[:3], range(4), num_test=40))
    tree = read_tree(tmp_path)
    arm, written = study.arms[1], tree["arms"][1]
    assert (arm.n, arm.mean, arm.difference) == (4, written["mean"], written["difference"])
    assert arm.interval == ConfidenceInterval(low=written["interval"][0], high=written["interval"][1])
    assert list(arm.runs) == list(arm.values) == [0, 1, 2, 3]
    assert study.is_chain and study.scale is SHARE_FORMAT
    assert study.plan.seeds_needed == {0.002: 312, 0.005: 51, 0.01: 15}
    assert list(arm.classes) == list(study.classes)


def test_what_is_missing_is_none(tmp_path: Path) -> None:
    study = read(tmp_path, {"metric": "test/loss", "arms": [ARM]})
    (arm,) = study.arms
    assert (arm.label, arm.n, arm.mean, arm.interval, arm.examples, arm.calibration.ece) == (
        "a",
        0,
        None,
        None,
        None,
        None,
    )
    assert (study.level, study.power, study.status, study.looks) == (0.95, 0.8, "complete", None)
    assert study.scale is PLAIN_FORMAT and not study.is_chain


@pytest.mark.parametrize(
    ("references", "is_chain"),
    [
        ([None, "0"], False),
        ([None, "0", "1"], True),
        ([None, "0", "0"], False),
        ([None, None, "1"], False),
        ([None], False),
    ],
)
def test_a_chain_is_steps_in_their_order(tmp_path: Path, references: list[str | None], is_chain: bool) -> None:
    arms = [{"name": str(index), "reference": reference} for index, reference in enumerate(references)]
    assert read(tmp_path, {"metric": "test/accuracy", "arms": arms}).is_chain is is_chain


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ([], "not the format of a study"),
        ({"arms": []}, "missing 1 required keyword-only argument: 'metric'"),
        ({"metric": "test/accuracy"}, "KeyError: 'arms'"),
        (
            {"metric": "test/accuracy", "arms": [ARM, {**ARM, "name": "b", "mean": "high"}]},
            r"arms\[1\] \(b\): could not",
        ),
        ({"metric": "test/accuracy", "arms": [{**ARM, "interval": [1, 2, 3]}]}, r"arms\[0\] \(a\): too many values"),
        ({"metric": "test/accuracy", "arms": [{**ARM, "runs": {"first": "x"}}]}, r"arms\[0\] \(a\): invalid literal"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, tree: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, tree)


@pytest.mark.parametrize("text", ["", "{", None], ids=["empty", "cut short", "absent"])
def test_what_cannot_be_read_is_said_with_its_path(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "study.json").write_text(text)
    with pytest.raises(ConfigError, match=r"study\.json: no study can be read"):
        read_study(tmp_path)


def test_an_effect_is_called_by_its_labels(tmp_path: Path) -> None:
    effects = [{"factor": "ema", "label": "EMA"}, {"factors": ["a", "b"], "label": "A"}, {"factors": ["a", "b"]}]
    study = read(tmp_path, {"metric": "test/accuracy", "arms": [], "effects": effects})
    assert [each.name for each in study.effects] == ["EMA", "a × b", "a × b"]


def test_reading_imports_nothing_heavy() -> None:
    import subprocess
    import sys

    heavy = {"torch", "hydra", "omegaconf", "mlflow", "matplotlib", "altair", "vl_convert"}
    code = f"import sota_exp.report.study.page, sys; print(*{heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_values_are_kept_to_the_bit(tmp_path: Path) -> None:
    study = read(tmp_path, {"metric": "m", "arms": [{**ARM, "values": {"10": 0.1, "9": 1 / 3}}]})
    assert json.dumps(dict(study.arms[0].values)) == json.dumps({9: 1 / 3, 10: 0.1})
