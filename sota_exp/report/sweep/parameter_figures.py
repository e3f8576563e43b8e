"""Figures of the searched parameters of a sweep: importance, slices, contour, parallel coordinates."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sota_exp.report.drawing.matplotlib_canvas import BLUE, GREY, ORANGE, RED, figure, save, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
from sota_exp.report.sweep.trials import ParameterAxis, SweepFigureData


def draw_importances(sweep: SweepFigureData, path: Path) -> None:
    """Importance of each parameter by each method."""
    methods = sweep.summary["importances"]
    if not methods:
        draw_empty_figure(path, "Importance", "too few complete trials or values, or only one parameter")
        return
    names = list(next(iter(methods.values())))[::-1]
    drawing = figure(7.5, 1.4 + 0.5 * len(names))
    axes = drawing.subplots()
    for index, (method, shares) in enumerate(methods.items()):
        places = np.arange(len(names)) + 0.2 - 0.4 * index
        values = [shares.get(name, 0.0) for name in names]
        bars = axes.barh(places, values, height=0.36, color=(BLUE, ORANGE)[index], label=method)
        axes.bar_label(bars, [f" {value:.0%}" for value in values], fontsize=8.5)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlim(0, 1.12 * max(max(shares.values()) for shares in methods.values()))
    tidy(axes, f"Importance for {sweep.objective}", "share", "")
    axes.legend(frameon=False, fontsize=8.5, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    save(drawing, path)


def draw_slices(sweep: SweepFigureData, path: Path) -> None:
    """Value against each parameter; darker is later."""
    names = sweep.parameter_names
    if not names:
        draw_empty_figure(path, "Value against each parameter", "no parameter has two values")
        return
    columns = min(len(names), 3)
    lines = math.ceil(len(names) / columns)
    drawing = figure(3.6 * columns, 3.2 * lines)
    cells = drawing.subplots(lines, columns, squeeze=False, sharey=True)
    for cell, name in zip(cells.flat, names, strict=False):
        scale = sweep.build_axis(name)
        items = [item for item in sweep.complete if name in item["params"]]
        order = [item["number"] for item in items]
        places = [scale.compute_position(item["params"][name]) for item in items]
        values = [item["values"][0] for item in items]
        cell.scatter(
            places, values, c=order, cmap="Blues", vmin=-0.5 * max(order, default=1) - 1, s=26, edgecolors=BLUE
        )
        tidy(cell, "", scale.name, sweep.objective if cell in cells[:, 0] else "")
        scale.set_ticks(cell.xaxis)
    for cell in cells.flat[len(names) :]:
        cell.set_visible(False)
    drawing.suptitle("Value against each parameter; darker is later", x=0.01, ha="left", fontsize=11)
    save(drawing, path)


def draw_contours(sweep: SweepFigureData, path: Path) -> None:
    """Trials over the two most important numeric parameters, on a smooth fit."""
    scales = [scale for name in sweep.parameter_names if not (scale := sweep.build_axis(name)).categories][:2]
    items = [item for item in sweep.complete if all(scale.name in item["params"] for scale in scales)]
    if len(scales) < 2 or len(items) < 6:
        draw_empty_figure(path, "Contour", "needs two numeric parameters and six complete trials")
        return
    first, second = scales
    x = np.array([first.compute_position(item["params"][first.name]) for item in items])
    y = np.array([second.compute_position(item["params"][second.name]) for item in items])
    values = np.array([item["values"][0] for item in items])
    drawing = figure(7, 5)
    axes = drawing.subplots()
    draw_surface(axes, x, y, values)
    dots = axes.scatter(x, y, c=values, cmap="viridis", s=40, edgecolors="white", zorder=3)
    drawing.colorbar(dots, ax=axes, label=sweep.objective)
    pruned = [item for item in sweep.trials if item["state"] == "pruned" and first.name in item["params"]]
    across, up = ([scale.compute_position(item["params"][scale.name]) for item in pruned] for scale in scales)
    axes.scatter(across, up, color=RED, marker="v", s=26, zorder=3, label="pruned")
    best = int(np.argmax(sweep.sign * values))
    axes.scatter(x[best], y[best], s=170, facecolors="none", edgecolors=RED, linewidth=1.8, zorder=4, label="best")
    tidy(axes, f"{sweep.objective} over the two most important numeric parameters", first.name, second.name)
    axes.margins(0.06)
    first.set_ticks(axes.xaxis)
    second.set_ticks(axes.yaxis)
    axes.legend(frameon=True, framealpha=0.85, fontsize=8.5)
    save(drawing, path)


def draw_surface(axes: "Axes", x: "np.ndarray", y: "np.ndarray", values: "np.ndarray") -> None:
    """Filled contours of a smooth fit, drawn faintly because trials are few; x, y and values: float [N]."""
    from scipy.interpolate import RBFInterpolator

    spans = np.ptp(x) or 1.0, np.ptp(y) or 1.0
    points = np.stack([x / spans[0], y / spans[1]], 1)
    if len(np.unique(points, axis=0)) < 4 or np.linalg.matrix_rank(points - points.mean(0)) < 2:
        return
    fit = RBFInterpolator(points, values, kernel="thin_plate_spline", smoothing=0.05)
    columns, lines = np.linspace(x.min(), x.max(), 60), np.linspace(y.min(), y.max(), 60)
    grid = np.stack([axis.ravel() for axis in np.meshgrid(columns / spans[0], lines / spans[1])], 1)
    heights = np.clip(fit(grid), values.min(), values.max()).reshape(60, 60)
    axes.contourf(columns, lines, heights, levels=12, cmap="viridis", alpha=0.45)


def draw_parallel_coordinates(sweep: SweepFigureData, path: Path) -> None:
    """One line per trial through its values; the best third in blue."""
    names = sweep.parameter_names
    if not names:
        draw_empty_figure(path, "Parallel coordinates", "no parameter has two values")
        return
    scales = [sweep.build_axis(name) for name in names]
    items = sorted((item for item in sweep.complete), key=lambda item: sweep.sign * item["values"][0])
    columns = [
        [scale.compute_position(item["params"][scale.name]) if scale.name in item["params"] else None for item in items]
        for scale in scales
    ]
    columns.append([item["values"][0] for item in items])
    spans = [compute_span([value for value in column if value is not None]) for column in columns]
    drawing = figure(max(6.0, 1.9 * len(columns)), 4)
    axes = drawing.subplots()
    for index in range(len(items)):
        points = [
            (place, (value - low) / (high - low))
            for place, (column, (low, high)) in enumerate(zip(columns, spans, strict=True))
            if (value := column[index]) is not None
        ]
        is_good = index >= len(items) * 2 / 3
        colour = BLUE if is_good else "#c4c4c4"
        axes.plot(
            *zip(*points, strict=True), color=colour, linewidth=1.6 if is_good else 0.9, alpha=0.85, zorder=2 + is_good
        )
    labels = [*(scale.name for scale in scales), sweep.objective]
    tidy(axes, "Values of each trial; the best third in blue", "", "")
    axes.set_xticks(range(len(labels)), [label.replace(".", ".\n", 1) for label in labels])
    axes.set_yticks([])
    axes.margins(x=0.08)
    for place, (low, high) in enumerate(spans):
        axes.axvline(place, color=GREY, linewidth=0.8, zorder=1)
        scale = scales[place] if place < len(scales) else None
        for height, text in format_axis_ends(scale, low, high):
            axes.annotate(text, (place, height), xytext=(4, 0), textcoords="offset points", fontsize=8, color="#444444")
    save(drawing, path)


def compute_span(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def format_axis_ends(scale: ParameterAxis | None, low: float, high: float) -> list[tuple[float, str]]:
    """(height in [0, 1], text) of the labels along an axis: every category, or both ends of the numbers."""
    if scale is not None and scale.categories:
        return [((index - low) / (high - low), word) for index, word in enumerate(scale.categories)]
    if scale is not None and scale.is_log:
        return [(0.0, f"{10**low:.2g}"), (1.0, f"{10**high:.2g}")]
    return [(0.0, f"{low:.4g}"), (1.0, f"{high:.4g}")]


def draw_empty_figure(path: Path, title: str, reason: str) -> None:
    """A figure with the reason why there is nothing to draw."""
    drawing = figure(5, 1.6)
    axes = drawing.subplots()
    axes.text(0.5, 0.5, reason, ha="center", va="center", color=GREY)
    tidy(axes, title, "", "")
    axes.grid(False)
    axes.set_xticks([])
    axes.set_yticks([])
    save(drawing, path)
