"""The figures of a run, for its page and as PNG."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sota_exp.report.drawing.chart import Figure, write_png
from sota_exp.report.numbers import format_accuracy, format_count, format_percent
from sota_exp.report.run.figure_data import RunFigureData

if TYPE_CHECKING:
    from altair import LayerChart, TopLevelMixin


def build_run_figures(run: RunFigureData) -> list[Figure]:
    """The figures that the run has data for."""
    from sota_exp.report.run import charts, confusion, reliability

    part, num, metrics = run.part, len(run.classes), run.result["metrics"]
    rows: list[tuple[str, str, Callable[[RunFigureData, float], TopLevelMixin]]] = []
    if run.epochs:
        epochs, value = format_count(len(run.epochs), "epoch"), format_accuracy(metrics["val/accuracy"])
        alt = f"Loss and accuracy of {epochs}; {value} on val at the end"
        rows.append(("learning_curves", alt, charts.draw_learning_curves))
        rows.append(("learning_rate", "Learning rate at the end of every epoch", charts.draw_learning_rate))
    confused = confusion.find_confused_classes(run.confusion) if num > confusion.MAX_COUNTS else []
    if num <= confusion.MAX_CLASS_NAMES:
        order = confusion.order_classes(run.confusion) if num > confusion.MAX_COUNTS else range(num)
        absent = "" if run.confusion.sum(axis=1).all() else "; grey: no image of the class"
        alt = f"Confusion of {num} classes on {part}{absent}"
        rows.append(("confusion_matrix", alt, functools.partial(confusion.draw_classes, order=order)))
    if confused:
        alt = "Confusion of the classes that are confused most"
        rows.append(("worst_confusions", alt, functools.partial(confusion.draw_classes, order=confused)))
    alt = f"Accuracy by confidence on {part}; calibration error {format_accuracy(metrics[f'{part}/ece'])}"
    rows.append(("reliability", alt, reliability.draw_reliability))
    if mistakes := len(run.mistakes.get("images", ())):
        rows.append(("worst_mistakes", f"The {mistakes} most confident mistakes on {part}", draw_worst_mistakes))
    return [Figure(name=name, alt=alt, draw=functools.partial(draw, run)) for name, alt, draw in rows]


def draw_worst_mistakes(run: RunFigureData, width: float) -> "LayerChart":
    """The most confident wrong predictions on test, the most confident first: name, class, what it was taken for."""
    from sota_exp.report.drawing.image_grid import draw_image_grid

    names = run.names or [""] * len(run.mistakes["images"])
    found = [run.mistakes[name].tolist() for name in ("true", "predicted", "confidence")]
    texts = [
        [run.classes[true], f"{format_percent(confidence)} for {run.classes[predicted]}", name]
        for true, predicted, confidence, name in zip(*found, names, strict=True)
    ]
    return draw_image_grid(list(run.mistakes.get("with_heat", run.mistakes["images"])), texts, width)


def draw_run_figures(directory: Path) -> None:
    """Write every figure of the run below `figures/`."""
    for figure in build_run_figures(RunFigureData.read(directory)):
        (directory / "figures").mkdir(parents=True, exist_ok=True)
        write_png(figure.wide, directory / "figures" / f"{figure.name}.png")
