"""Images that one arm classifies correctly and its reference does not, or the reverse, most often across seeds."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sota_exp.report.drawing.chart import Figure
from sota_exp.report.numbers import format_percent
from sota_exp.report.run.figure_data import read_names
from sota_exp.report.study.study import StudyArm, StudyResult
from sota_exp.runs.arrays import open_arrays

if TYPE_CHECKING:
    import pandas as pd

#: Most images, and most runs of an arm whose predictions are read.
MOST_IMAGES, MOST_RUNS = 12, 8


def build_flips_figure(study: StudyResult) -> Figure | None:
    """Those of the arm that differs most from its reference; None of a design, and where no file has such images."""
    from sota_exp.report.drawing.image_grid import draw_image_grid

    arm = max(study.compared, key=lambda each: abs(each.difference or 0), default=None)
    reference = study.arm(arm.reference) if arm else None
    if arm is None or reference is None or study.effects:
        return None
    images, found = find_flips(study, arm, reference)
    if not images:
        return None
    texts = [
        [label, f"{reference.label}: {format_percent(before)}", f"{arm.label}: {format_percent(after)}", name]
        for (name, label), (before, after) in zip(found.index, found.to_numpy(), strict=True)
    ]
    return Figure(
        name="flips",
        alt=f"{len(found)} images on which {arm.label} and {reference.label} differ most often",
        draw=lambda width: draw_image_grid(images, texts, width),
    )


def find_flips(
    study: StudyResult, arm: StudyArm, reference: StudyArm
) -> "tuple[list[NDArray[np.uint8]], pd.DataFrame]":
    """The images that flip most often, of those whose pixels, uint8 [3, H, W], are in a run's file of mistakes.

    The frame has a row for each, by image and label: the share of seeds that classify it correctly, before and after.
    """
    import pandas as pd

    images: dict[str, NDArray[np.uint8]] = {}
    rows = [pd.DataFrame(columns=["image", "label", "arm", "right"])]
    for number, each in enumerate((reference, arm)):
        for place in study.places(each)[:MOST_RUNS]:
            try:
                with open_arrays(place / "mistakes.npz") as arrays:
                    images |= dict(zip(read_names(place / "mistakes.csv"), arrays["images"], strict=False))
                table = pd.read_csv(place / "predictions.csv", dtype=str, keep_default_na=False).query("part == 'test'")
                rows.append(table.assign(arm=number, right=(table["label"] == table["prediction"]).astype(float)))
            except (OSError, KeyError, ValueError):
                continue
    shares = pd.concat(rows).pivot_table("right", ["image", "label"], "arm").reindex(columns=[0, 1]).dropna()
    shares = shares[shares.index.isin(images, level=0) & (shares[0] != shares[1])]
    order = (shares[0] - shares[1]).abs().sort_values(ascending=False, kind="stable").index[:MOST_IMAGES]
    return [images[name] for name, _ in order], shares.loc[order]
