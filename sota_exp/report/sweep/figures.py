"""Writes all figures of a sweep from `sweep.json`."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sota_exp.report.sweep.parameter_figures import (
    draw_contours,
    draw_importances,
    draw_parallel_coordinates,
    draw_slices,
)
from sota_exp.report.sweep.progress_figures import (
    draw_intermediate_values,
    draw_objectives_front,
    draw_sweep_history,
    draw_timeline,
)
from sota_exp.report.sweep.trials import SweepFigureData


def draw_sweep(summary: Mapping[str, Any], folder: Path) -> None:
    """Write every figure of the sweep into `folder`; none without a complete trial."""
    sweep = SweepFigureData(summary=summary)
    pictures: dict[str, Callable[[SweepFigureData, Path], None]] = {
        "history": draw_sweep_history,
        "importances": draw_importances,
        "slice": draw_slices,
        "contour": draw_contours,
        "parallel_coordinates": draw_parallel_coordinates,
        "intermediate_values": draw_intermediate_values,
        "timeline": draw_timeline,
    }
    if len(summary["objective"]) > 1:
        pictures["front"] = draw_objectives_front
    folder.mkdir(exist_ok=True)
    if sweep.complete:
        for name, draw in pictures.items():
            draw(sweep, folder / f"{name}.png")
