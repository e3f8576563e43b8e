"""What the figures of a run show, from its files."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
        with np.load(directory / "predictions.npz") as arrays:
            logits, labels = arrays["test_logits"].astype(np.float32), arrays["test_labels"]
        with np.load(directory / "mistakes.npz") as arrays:
            mistakes = dict(arrays)
        return cls(
            epochs=[json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()],
            result=count_epochs_from_one(json.loads((directory / "result.json").read_text())),
            classes=json.loads((directory / "model.json").read_text())["classes"],
            logits=logits,
            labels=labels,
            mistakes=mistakes,
        )
