"""Reads the files of a run and writes its figures as PNG."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sota_exp.report.drawing.chart import chart_to_svg, write_png

if TYPE_CHECKING:
    from altair import TopLevelMixin


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
            result=json.loads((directory / "result.json").read_text()),
            classes=json.loads((directory / "model.json").read_text())["classes"],
            logits=logits,
            labels=labels,
            mistakes=mistakes,
        )


def draw_run_figures(directory: Path) -> None:
    """Write every figure of the run below `figures/`."""
    run = RunFigureData.read(directory)
    from sota_exp.report.run import charts

    write_chart(charts.draw_learning_curves(run), directory, "learning_curves")
    write_chart(charts.draw_learning_rate(run), directory, "learning_rate")
    write_chart(charts.draw_confusion_matrix(run), directory, "confusion_matrix")
    write_chart(charts.draw_run_reliability(run), directory, "reliability")
    write_chart(charts.draw_worst_mistakes(run), directory, "worst_mistakes")
    draw_resolution_figure(run.result, directory)


def draw_resolution_figure(result: dict[str, Any], directory: Path) -> None:
    """Write `figures/resolution.png` if the result has a resolution search."""
    if "curve" in (result.get("resolution") or {}):
        from sota_exp.report.run.charts import draw_resolution_search

        write_chart(draw_resolution_search(result["resolution"]), directory, "resolution")


def write_chart(chart: "TopLevelMixin", directory: Path, name: str) -> None:
    (directory / "figures").mkdir(parents=True, exist_ok=True)
    write_png(chart_to_svg(chart), directory / "figures" / f"{name}.png")
