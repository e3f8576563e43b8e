"""Writes the figures of a run as PNG."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sota_exp.report.drawing.chart import chart_to_svg, skip_schema, write_png
from sota_exp.report.run.figure_data import RunFigureData

if TYPE_CHECKING:
    from altair import TopLevelMixin


def draw_run_figures(directory: Path) -> None:
    """Write every figure of the run below `figures/`."""
    run = RunFigureData.read(directory)
    from sota_exp.report.run import charts

    charts_by_name = {
        "learning_curves": charts.draw_learning_curves,
        "learning_rate": charts.draw_learning_rate,
        "confusion_matrix": charts.draw_confusion_matrix,
        "reliability": charts.draw_run_reliability,
        "worst_mistakes": charts.draw_worst_mistakes,
    }
    for name, draw in charts_by_name.items():
        with skip_schema():
            chart = draw(run)
        write_chart(chart, directory, name)
    draw_resolution_figure(run.result, directory)


def draw_resolution_figure(result: dict[str, Any], directory: Path) -> None:
    """Write `figures/resolution.png` if the result has a resolution search."""
    if "curve" in (result.get("resolution") or {}):
        from sota_exp.report.run.charts import draw_resolution_search

        write_chart(draw_resolution_search(result["resolution"]), directory, "resolution")


def write_chart(chart: "TopLevelMixin", directory: Path, name: str) -> None:
    (directory / "figures").mkdir(parents=True, exist_ok=True)
    write_png(chart_to_svg(chart), directory / "figures" / f"{name}.png")
