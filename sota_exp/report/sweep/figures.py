"""All pictures of a sweep."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sota_exp.report.sweep.parameter_figures import contours, importances, parallel_coordinates, slices
from sota_exp.report.sweep.progress_figures import front, history, intermediate_values, timeline
from sota_exp.report.sweep.trials import SweepPictures


def draw_sweep(summary: Mapping[str, Any], folder: Path) -> None:
    """Write every picture that the sweep's numbers allow."""
    sweep = SweepPictures(summary=summary)
    pictures: dict[str, Callable[[SweepPictures, Path], None]] = {
        "history": history,
        "importances": importances,
        "slice": slices,
        "contour": contours,
        "parallel_coordinates": parallel_coordinates,
        "intermediate_values": intermediate_values,
        "timeline": timeline,
    }
    if len(summary["objective"]) > 1:
        pictures["front"] = front
    folder.mkdir(exist_ok=True)
    if sweep.complete:
        for name, draw in pictures.items():
            draw(sweep, folder / f"{name}.png")
