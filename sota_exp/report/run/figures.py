"""The figures of a run: learning curves, learning rate, confusion matrix, reliability, worst mistakes, resolution.

Colours are those of Okabe and Ito (2008), which colour-blind readers can distinguish; curves also differ in line style.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sota_exp.report.drawing.matplotlib_canvas import (
    BLUE,
    GREY,
    ORANGE,
    RED,
    make_figure,
    save_figure,
    show_name,
    style_axes,
)
from sota_exp.report.run.predictions import NUM_BINS, bin_by_confidence, compute_confidence

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: With more classes, the axes of the confusion matrix have no names.
MAX_CLASS_NAMES = 40


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

    def get_series(self, key: str) -> tuple[list[int], list[float]]:
        """(epochs counted from 1, values) of a metric; empty if it was not measured."""
        found = [(epoch["epoch"] + 1, epoch[key]) for epoch in self.epochs if key in epoch]
        return [number for number, _ in found], [value for _, value in found]


def draw_run_figures(directory: Path) -> None:
    """Write every figure of the run below `figures/`."""
    run = RunFigureData.read(directory)
    pictures: dict[str, Callable[[RunFigureData, Path], None]] = {
        "learning_curves": draw_learning_curves,
        "learning_rate": draw_learning_rate,
        "confusion_matrix": draw_confusion_matrix,
        "reliability": draw_run_reliability,
        "worst_mistakes": draw_worst_mistakes,
    }
    folder = directory / "figures"
    folder.mkdir(exist_ok=True)
    for name, draw in pictures.items():
        draw(run, folder / f"{name}.png")
    draw_resolution_figure(run.result, directory)


def draw_resolution_figure(result: dict[str, Any], directory: Path) -> None:
    """Write `figures/resolution.png` if the result has a resolution search."""
    if "curve" in (result.get("resolution") or {}):
        from sota_exp.report.run.resolution_curve import draw_resolution_curve

        draw_resolution_curve(result["resolution"], directory / "figures" / "resolution.png")


def draw_learning_curves(run: RunFigureData, path: Path) -> None:
    """Loss on train and val, accuracy on val; of the raw weights and, if there are any, of the averaged weights."""
    drawing = make_figure(10, 4)
    loss, accuracy = drawing.subplots(1, 2)
    is_averaged = any("val_raw/accuracy" in epoch for epoch in run.epochs)
    raw, averaged = ("val_raw", "val") if is_averaged else ("val", None)
    plot_curve(loss, run.get_series("train/loss"), "train", BLUE, "-")
    for axes, name in ((loss, "loss"), (accuracy, "accuracy")):
        plot_curve(axes, run.get_series(f"{raw}/{name}"), "val, raw weights" if is_averaged else "val", ORANGE, "--")
        if averaged:
            plot_curve(axes, run.get_series(f"{averaged}/{name}"), "val, averaged weights", RED, "-")
    best = run.result["metrics"]["best/epoch"] + 1
    value = run.result["metrics"]["val/accuracy"]
    accuracy.plot([best], [value], "o", color=RED if averaged else ORANGE, markersize=7)
    style_axes(loss, "Loss", "epoch", "cross-entropy (nats)")
    style_axes(accuracy, f"Accuracy on val: {value:.1%} of the saved weights, epoch {best}", "epoch", "accuracy")
    accuracy.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    for axes, corner in ((loss, "upper right"), (accuracy, "lower right")):
        set_epoch_ticks(axes, len(run.epochs))
        axes.legend(frameon=False, loc=corner)
    save_figure(drawing, path)


def plot_curve(axes: "Axes", series: tuple[list[int], list[float]], label: str, color: str, style: str) -> None:
    marker = "o" if len(series[0]) < 30 else ""
    axes.plot(*series, style, color=color, label=label, marker=marker, markersize=3.5, linewidth=1.8)


def set_epoch_ticks(axes: "Axes", num_epochs: int) -> None:
    """Ticks at whole epochs, with room for a single one."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(0.7, max(num_epochs, 1) + 0.3)


def draw_learning_rate(run: RunFigureData, path: Path) -> None:
    """The learning rate at the end of every epoch."""
    drawing = make_figure(6, 3.2)
    axes = drawing.subplots()
    plot_curve(axes, run.get_series("train/lr"), "learning rate", BLUE, "-")
    axes.set_ylim(bottom=0)
    set_epoch_ticks(axes, len(run.epochs))
    style_axes(axes, "Learning rate", "epoch", "learning rate at the end of the epoch")
    save_figure(drawing, path)


def draw_confusion_matrix(run: RunFigureData, path: Path) -> None:
    """Confusion matrix on test; each row is normalized by the images of the true class, and grey where it has none."""
    counts = np.array(run.result["confusion_matrix"], dtype=np.float64)
    with np.errstate(invalid="ignore"):
        shares = counts / counts.sum(axis=1, keepdims=True)
    side = float(np.clip(2.2 + 0.42 * len(counts), 4.5, 11))
    drawing = make_figure(side + 1, side)
    axes = drawing.subplots()
    axes.set_facecolor("lightgrey")
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    bar = drawing.colorbar(image, ax=axes, fraction=0.045, format=lambda share, _: f"{share:.0%}")
    bar.set_label("share of the true class")
    bar.outline.set_visible(False)
    if len(counts) <= MAX_CLASS_NAMES:
        names = [show_name(name) for name in run.classes]
        axes.set_xticks(range(len(counts)), names, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(counts)), names)
    if len(counts) <= 20:
        annotate_counts(axes, counts, shares)
    num = int(counts.sum())
    absent = "; grey: no image of the class" if np.isnan(shares).any() else ""
    style_axes(axes, f"Confusion on test ({num:,} images{absent})", "predicted class", "true class")
    save_figure(drawing, path)


def annotate_counts(axes: "Axes", counts: NDArray[np.float64], shares: NDArray[np.float64]) -> None:
    """Write the counts [C, C] into the cells; white on dark, by the shares [C, C] in [0, 1]."""
    for true, predicted in np.argwhere(counts > 0):
        color = "white" if shares[true, predicted] > 0.5 else "#333333"
        text = f"{counts[true, predicted]:.0f}"
        axes.text(predicted, true, text, ha="center", va="center", color=color, fontsize=8)


def draw_run_reliability(run: RunFigureData, path: Path) -> None:
    """Accuracy by confidence on test, and the number of images per bin."""
    confidence, correct = compute_confidence(run.logits, run.labels)
    num, share = bin_by_confidence(confidence, correct)
    drawing = make_figure(5.2, 5.6)
    axes, below = drawing.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    axes.plot([0, 1], [0, 1], "--", color=GREY, label="perfect calibration")
    there = num > 0
    error = np.sqrt(share * (1 - share) / np.maximum(num, 1))
    centres = (np.arange(NUM_BINS) + 0.5) / NUM_BINS
    axes.bar(centres[there], share[there], 1 / NUM_BINS * 0.92, color=BLUE, alpha=0.85, yerr=error[there], ecolor=GREY)
    axes.legend(frameon=False, loc="upper left")
    below.bar(centres, num, 1 / NUM_BINS * 0.92, color=ORANGE)
    calibration = run.result["metrics"]["test/ece"]
    style_axes(axes, f"Reliability on test (calibration error {calibration:.3f})", "", "accuracy")
    style_axes(below, "", "confidence of the prediction", "images")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    save_figure(drawing, path)


def draw_worst_mistakes(run: RunFigureData, path: Path) -> None:
    """The most confident wrong predictions on test, the most confident first.

    All images share one pair of axes: with one pair per image, layout takes a second.
    """
    images = run.mistakes["images"]
    columns, rows = 6, max(-(-len(images) // 6), 1)
    drawing = make_figure(columns * 1.65, rows * 2.0 + 0.4)
    axes = drawing.subplots()
    for position, image in enumerate(images):
        row, column = divmod(position, columns)
        true, predicted = (show_name(run.classes[int(run.mistakes[name][position])]) for name in ("true", "predicted"))
        top = row * 1.25
        axes.imshow(image.transpose(1, 2, 0), extent=(column, column + 0.96, top + 0.96, top), interpolation="nearest")
        share = run.mistakes["confidence"][position]
        text = f"{true}\ntaken for {predicted}, {share:.0%}"
        axes.text(column + 0.48, top - 0.03, text, fontsize=7, ha="center", va="bottom")
    axes.set_xlim(0, columns)
    axes.set_ylim(rows * 1.25, -0.25)
    axes.axis("off")
    title = "The most confident mistakes on test" if len(images) else "No mistake on test"
    axes.set_title(title, fontsize=11, loc="left")
    save_figure(drawing, path)
