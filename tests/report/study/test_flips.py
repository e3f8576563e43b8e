"""Images that flip between an arm and its reference: those whose pixels are kept, by how often they flip."""

import csv
from pathlib import Path

import numpy as np
import pytest

from sota_exp.report.study.flips import build_flips_figure, find_flips
from sota_exp.report.study.read import read_study
from tests.report.pictures import Picture
from tests.report.studies import STEPS, write_study


def write_predictions(place: Path, right: dict[str, bool], kept: dict[str, int]) -> None:
    """right: by image, whether it is classified correctly. kept: the images of the file of mistakes, and their grey."""
    with (place / "predictions.csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["image", "label", "prediction", "probability", "part"])
        lines.writerows([name, "cat", "cat" if is_right else "dog", 0.9, "test"] for name, is_right in right.items())
        lines.writerow(["of val", "cat", "dog", 0.9, "val"])
    (place / "mistakes.csv").write_text("\n".join(["image", *kept]) + "\n")
    np.savez(place / "mistakes.npz", images=np.stack([np.full((3, 8, 8), grey, np.uint8) for grey in kept.values()]))


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Two arms, two seeds; `a` flips with both, `b` with one, `c` with both but its pixels are lost, `d` never."""
    write_study(tmp_path, STEPS[:2], range(2), num_test=60)
    before, after = (tmp_path / "runs" / name for name, _, _ in STEPS[:2])
    for seed, b_is_right in (("0", False), ("1", True)):
        write_predictions(before / seed, {"a": False, "b": b_is_right, "c": False, "d": True}, {"a": 40, "b": 90})
        write_predictions(after / seed, {"a": True, "b": True, "c": True, "d": True}, {"d": 7})
    return tmp_path


def test_images_that_flip_most_often_come_first_with_their_pixels(study: Path) -> None:
    found = read_study(study)
    images, flips = find_flips(found, found.arms[1], found.arms[0])
    assert [*flips.itertuples(name=None)] == [(("a", "cat"), 0.0, 1.0), (("b", "cat"), 0.5, 1.0)]
    assert [int(image[0, 0, 0]) for image in images] == [40, 90]
    figure = build_flips_figure(found)
    assert figure is not None
    drawn = Picture(figure.to_svg(920))
    words = " ".join(drawn.words)
    assert "Baseline: 0 %" in words and "LR optimizations: 100 %" in words
    assert sum(mark.tag == "image" for mark in drawn.marks) == 2 and drawn.find_overlaps() == []


def test_without_files_of_predictions_nothing_is_shown(tmp_path: Path) -> None:
    write_study(tmp_path, STEPS[:2], range(2), num_test=60)
    assert build_flips_figure(read_study(tmp_path)) is None
