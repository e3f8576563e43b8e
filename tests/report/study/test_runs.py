"""Curves and sizes of inference from run directories: means over seeds, thinned, without damaged lines."""

import json
from pathlib import Path

import numpy as np
import pytest

from sota_exp.report.study.read import read_study
from sota_exp.report.study.runs import (
    MAX_CURVE_POINTS,
    average_over_seeds,
    count_chosen_sizes,
    read_learning_curve,
    read_metric_by_epoch,
)
from tests.report.studies import STEPS, write_study


def write_epochs(path: Path, num: int, ending: str = "\n") -> Path:
    lines = [json.dumps({"epoch": index + 1, "val/accuracy": index / num}) for index in range(num)]
    path.write_text("\n".join(lines) + ending)
    return path


@pytest.mark.parametrize("num", [1, 2, 59, 60, 61, 119, 600])
def test_long_curves_are_thinned_and_keep_their_end(tmp_path: Path, num: int) -> None:
    found = read_metric_by_epoch(write_epochs(tmp_path / "m", num), "val/accuracy")
    assert len(found) <= MAX_CURVE_POINTS
    assert len(found) == num or num > MAX_CURVE_POINTS
    assert max(found) == num and found[num] == (num - 1) / num


def test_a_line_that_a_crash_cut_short_is_left_out(tmp_path: Path) -> None:
    assert max(read_metric_by_epoch(write_epochs(tmp_path / "m", 5, ending=""), "val/accuracy")) == 4
    assert read_metric_by_epoch(tmp_path / "absent", "val/accuracy") == {}
    assert read_metric_by_epoch(tmp_path / "m", "val/top5_accuracy") == {}


def test_curves_reach_as_far_as_every_seed() -> None:
    curve = average_over_seeds([{1.0: 0.1, 2.0: 0.3, 3.0: 0.5}, {1.0: 0.3, 2.0: 0.5}])
    assert curve is not None
    np.testing.assert_allclose([curve.x, curve.mean, curve.sd], [[1, 2], [0.2, 0.4], [2**-0.5 / 5] * 2])
    assert average_over_seeds([]) is None and average_over_seeds([{1.0: 1.0}, {2.0: 1.0}]) is None


def test_a_study_is_read_from_its_runs(tmp_path: Path) -> None:
    steps = [STEPS[0], STEPS[11], STEPS[2]]
    study = read_study(write_study(tmp_path, steps, range(3), num_test=50))
    curve = read_learning_curve(study.places(study.arms[0]), "val/accuracy")
    assert curve is not None and curve.n == 3 and len(curve.x) == 12
    sizes = count_chosen_sizes(study, study.arms[1])
    assert sizes.total() == 3 and set(sizes) <= {48, 56, 64, 72, 80} and not count_chosen_sizes(study, study.arms[0])
