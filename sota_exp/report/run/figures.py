"""Writes the figures of a run as PNG."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sota_exp.report.drawing.chart import chart_to_svg, write_png
from sota_exp.report.run.figure_data import RunFigureData

if TYPE_CHECKING:
    from altair import TopLevelMixin


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
