"""The figures of a run, for its page and as PNG."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sota_exp.report.drawing.chart import WIDE, Figure, write_png
from sota_exp.report.numbers import format_accuracy, format_count, format_percent
from sota_exp.report.run.figure_data import RunFigureData

if TYPE_CHECKING:
    from altair import LayerChart


def build_run_figures(run: RunFigureData) -> list[Figure]:
    """The figures that the run has data for."""
    from sota_exp.report.run import charts, confusion

    part, num = run.part, len(run.classes)
    found = []
    if run.epochs:
        value = format_accuracy(run.result["metrics"]["val/accuracy"])
        found += [
            Figure(
                name="learning_curves",
                alt=f"Loss and accuracy of {format_count(len(run.epochs), 'epoch')}; {value} on val at the end",
                draw=lambda width: charts.draw_learning_curves(run, width),
            ),
            Figure(
                name="learning_rate",
                alt="Learning rate at the end of every epoch",
                draw=lambda width: charts.draw_learning_rate(run, width),
            ),
        ]
    found.append(
        Figure(
            name="confusion_matrix",
            alt=f"Confusion matrix of {num:,} classes on {part}",
            draw=lambda width: confusion.draw_confusion_matrix(run, width),
            note="" if run.confusion.sum(axis=1).all() else "Grey: no image of the class.",
        )
    )
    if num > confusion.MAX_COUNTS and confusion.find_confused_classes(run.confusion):
        found.append(
            Figure(
                name="worst_confusions",
                alt="Confusion matrix of the classes that are confused most",
                draw=lambda width: confusion.draw_worst_confusions(run, width),
            )
        )
    error = format_accuracy(run.result["metrics"][f"{part}/ece"])
    found.append(
        Figure(
            name="reliability",
            alt=f"Accuracy by confidence on {part}; calibration error {error}",
            draw=lambda width: charts.draw_run_reliability(run, width),
        )
    )
    if len(run.mistakes.get("images", ())):
        found.append(
            Figure(
                name="worst_mistakes",
                alt=f"The {len(run.mistakes['images'])} most confident mistakes on {part}",
                draw=lambda width: draw_worst_mistakes(run, width),
            )
        )
    return found + build_resolution_figures(run.result)


def draw_worst_mistakes(run: RunFigureData, width: float) -> "LayerChart":
    """The most confident wrong predictions on test, the most confident first: name, class, what it was taken for."""
    from sota_exp.report.drawing.image_grid import draw_image_grid

    names = run.names or [""] * len(run.mistakes["images"])
    found = [run.mistakes[name].tolist() for name in ("true", "predicted", "confidence")]
    texts = [
        [run.classes[true], f"{format_percent(confidence)} for {run.classes[predicted]}", name]
        for true, predicted, confidence, name in zip(*found, names, strict=True)
    ]
    return draw_image_grid(run.mistakes["images"], texts, width)


def build_resolution_figures(result: dict[str, Any]) -> list[Figure]:
    """The figure of the resolution search, if the result has one."""
    if "curve" not in (result.get("resolution") or {}):
        return []
    from sota_exp.report.run.charts import draw_resolution_search

    return [
        Figure(
            name="resolution",
            alt="Accuracy on val by size, FLOPs and time of inference",
            draw=lambda width: draw_resolution_search(result["resolution"], width),
        )
    ]


def draw_run_figures(directory: Path) -> None:
    """Write every figure of the run below `figures/`."""
    write_figures(build_run_figures(RunFigureData.read(directory)), directory)


def draw_resolution_figure(result: dict[str, Any], directory: Path) -> None:
    """Write `figures/resolution.png` if the result has a resolution search."""
    write_figures(build_resolution_figures(result), directory)


def write_figures(figures: list[Figure], directory: Path) -> None:
    for figure in figures:
        (directory / "figures").mkdir(parents=True, exist_ok=True)
        write_png(figure.to_svg(WIDE), directory / "figures" / f"{figure.name}.png")
