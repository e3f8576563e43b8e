"""Images that one arm classifies correctly and its reference does not, or the reverse, most often across seeds."""

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sota_exp.report.drawing.chart import Figure
from sota_exp.report.numbers import format_percent
from sota_exp.report.run.figure_data import read_names
from sota_exp.report.study.runs import iterate_run_directories
from sota_exp.report.study.study import StudyArm, StudyResult
from sota_exp.runs.arrays import open_arrays

#: Most images, and most runs of an arm whose predictions are read.
MOST_IMAGES, MOST_RUNS = 12, 8


@dataclass(frozen=True, kw_only=True)
class Flip:
    """An image, uint8 [3, H, W]; before, after: the share of seeds that classify it correctly."""

    name: str
    label: str
    image: NDArray[np.uint8]
    before: float
    after: float


def build_flips_figure(study: StudyResult) -> Figure | None:
    """Those of the arm that differs most from its reference; None where no file has such images."""
    from sota_exp.report.drawing.image_grid import draw_image_grid

    arm = max(study.compared, key=lambda each: abs(each.difference or 0), default=None)
    reference = study.arm(arm.reference) if arm else None
    if arm is None or reference is None or not (found := find_flips(study, arm, reference)):
        return None
    texts = [
        [
            each.label,
            f"{reference.label}: {format_percent(each.before)}",
            f"{arm.label}: {format_percent(each.after)}",
            each.name,
        ]
        for each in found
    ]
    return Figure(
        name="flips",
        alt=f"{len(found)} images on which {arm.label} and {reference.label} differ most often",
        draw=lambda width: draw_image_grid([each.image for each in found], texts, width),
        note=f"{arm.label} against {reference.label}.",
    )


def find_flips(study: StudyResult, arm: StudyArm, reference: StudyArm) -> list[Flip]:
    """The images that flip most often, of those whose pixels are in a run's file of mistakes."""
    images: dict[str, NDArray[np.uint8]] = {}
    labels: dict[str, str] = {}
    rights: list[Counter[str]] = [Counter(), Counter()]
    counts: list[Counter[str]] = [Counter(), Counter()]
    for side, each in enumerate((reference, arm)):
        for place in list(iterate_run_directories(study, each))[:MOST_RUNS]:
            try:
                with open_arrays(place / "mistakes.npz") as arrays:
                    images |= dict(zip(read_names(place / "mistakes.csv"), arrays["images"], strict=False))
                rows = read_test_rows(place / "predictions.csv")
            except (OSError, KeyError, ValueError):
                continue
            labels |= {row["image"]: row["label"] for row in rows}
            counts[side].update(row["image"] for row in rows)
            rights[side].update(row["image"] for row in rows if row["label"] == row["prediction"])
    shares = {
        name: [right[name] / num[name] for right, num in zip(rights, counts, strict=True)]
        for name in images
        if all(num[name] for num in counts)
    }
    names = sorted(shares, key=lambda name: -abs(shares[name][1] - shares[name][0]))
    return [
        Flip(name=name, label=labels[name], image=images[name], before=shares[name][0], after=shares[name][1])
        for name in names[:MOST_IMAGES]
        if shares[name][0] != shares[name][1]
    ]


def read_test_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a table of predictions on test."""
    with path.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["part"] == "test"]
