"""What the figures of a run show, from its files."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sota_exp.runs.arrays import open_arrays
from sota_exp.runs.digests import read_json, read_json_lines
from sota_exp.runs.result_json import count_epochs_from_one


@dataclass(frozen=True, kw_only=True)
class RunFigureData:
    """The data of the figures: logits float32 [N, C], labels int64 [N], `mistakes` as in `mistakes.npz`."""

    epochs: list[dict[str, Any]]
    result: dict[str, Any]
    classes: list[str]
    logits: NDArray[np.float32]
    labels: NDArray[np.int64]
    mistakes: dict[str, NDArray[Any]]

    @classmethod
    def read(cls, directory: Path) -> "RunFigureData":
        """Read the files of a finished run.

        Raises:
            OSError: a file is missing; the run did not finish.
            ValueError: a file is damaged.
        """
        with open_arrays(directory / "predictions.npz") as arrays:
            logits, labels = arrays["test_logits"].astype(np.float32), arrays["test_labels"]
        with open_arrays(directory / "mistakes.npz") as arrays:
            mistakes = dict(arrays)
        return cls(
            epochs=read_json_lines(directory / "metrics.jsonl"),
            result=count_epochs_from_one(read_json(directory / "result.json")),
            classes=read_json(directory / "model.json")["classes"],
            logits=logits,
            labels=labels,
            mistakes=mistakes,
        )
