"""What the figures of a run show, from its files."""

import csv
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sota_exp.runs.arrays import open_arrays
from sota_exp.runs.digests import read_json, read_json_lines
from sota_exp.runs.result_json import count_epochs_from_one, is_evaluation


@dataclass(frozen=True, kw_only=True)
class RunFigureData:
    """The data of the figures: logits float32 [N, C] and labels int64 [N] of the part that was scored last.

    mistakes: as in `mistakes.npz`, and `with_heat`, the images beside their Grad-CAM, where asked for. names: of their
    images, where the run knows them. An evaluation has no epochs, and no mistakes.
    """

    epochs: list[dict[str, Any]]
    result: dict[str, Any]
    classes: list[str]
    part: str
    logits: NDArray[np.float32]
    labels: NDArray[np.int64]
    mistakes: dict[str, NDArray[Any]]
    names: list[str]

    @functools.cached_property
    def confusion(self) -> NDArray[np.float64]:
        """The number of images by true and predicted class, [C, C]."""
        return np.array(self.result["confusion_matrix"], dtype=np.float64)

    @classmethod
    def read(cls, directory: Path, **added: NDArray[Any]) -> "RunFigureData":
        """Read the files of a finished run or an evaluation.

        Raises:
            OSError: a file is missing; the run did not finish.
            ValueError: a file is damaged.
        """
        result = count_epochs_from_one(read_json(directory / "result.json") or {})
        is_trained, part = not is_evaluation(result), [*(result.get("evaluated_images") or ["test"])][-1]
        with open_arrays(directory / "predictions.npz") as arrays:
            logits, labels = arrays[f"{part}_logits"].astype(np.float32), arrays[f"{part}_labels"]
        mistakes: dict[str, NDArray[Any]] = {}
        if is_trained:
            with open_arrays(directory / "mistakes.npz") as arrays:
                mistakes = dict(arrays) | added
        return cls(
            epochs=read_json_lines(directory / "metrics.jsonl") if is_trained else [],
            result=result,
            classes=read_json(directory / "model.json")["classes"],
            part=part,
            logits=logits,
            labels=labels,
            mistakes=mistakes,
            names=read_names(directory / "mistakes.csv"),
        )


def read_names(path: Path) -> list[str]:
    """The images of a table of predictions; [] where there is none, as in runs of older versions."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [row["image"] for row in csv.DictReader(file)]
    except (OSError, KeyError, ValueError):
        return []
