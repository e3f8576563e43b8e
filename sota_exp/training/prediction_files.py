"""`predictions.npz`, and `predictions.csv` with the same predictions by the names of the images."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch

from sota_exp.config.printable import make_decodable
from sota_exp.runs.atomic import write_atomically
from sota_exp.runs.digests import write_checked
from sota_exp.runs.files import RunFiles
from sota_exp.stages.data import DataSet

#: Columns: name of the image (a path relative to data.root, bytes that are not UTF-8 as `\\xff`, or its number in the
#: set), class names, probability of the prediction in [0, 1], part of the data.
COLUMNS = ("image", "label", "prediction", "probability", "part")


def write_predictions(files: RunFiles, data: DataSet, arrays: dict[str, np.ndarray]) -> None:
    """Write both files. arrays: those of `predictions.npz`, see `score_splits`."""
    write_checked(files.predictions, lambda file: np.savez(file, allow_pickle=False, **arrays))
    parts = [key.removesuffix("_logits") for key in arrays if key.endswith("_logits")]
    rows = [row for part in parts for row in list_predictions(data, part, arrays)]
    write_table(files.predictions.with_suffix(".csv"), rows)


def list_predictions(data: DataSet, part: str, arrays: dict[str, np.ndarray]) -> list[tuple[str, ...]]:
    """A row of `COLUMNS` for every image of a part, in the order of the arrays."""
    logits = torch.from_numpy(arrays[f"{part}_logits"])
    # The classes are those of the scores: two close logits can have equal probabilities.
    columns = (data.part(part), arrays[f"{part}_labels"], logits.argmax(1), logits.softmax(1).amax(1))
    return [
        (
            make_decodable(data.name_image(index)),
            data.classes[label],
            data.classes[prediction],
            f"{probability:.6f}",
            part,
        )
        for index, label, prediction, probability in zip(*(column.tolist() for column in columns), strict=True)
    ]


def write_table(path: Path, rows: Iterable[Sequence[str]]) -> None:
    """Write rows of `COLUMNS` as CSV in UTF-8."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows])
    write_atomically(path, lambda file: file.write(text.getvalue().encode()))
