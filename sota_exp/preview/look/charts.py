"""Charts of `sota-exp look`: class balance, image sizes, and object sizes in training and evaluation."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sota_exp.config.values import shorten_middle
from sota_exp.preview.look.findings import LookResult
from sota_exp.preview.look.matplotlib_canvas import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    RED,
    make_figure,
    save_figure,
    style_axes,
)
from sota_exp.preview.look.sizes import ImageSizes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: With more classes than this, classes are shown by rank, not by name.
MAX_NAMED_CLASSES = 40

SPLIT_COLORS = {"train": BLUE, "val": ORANGE, "test": GREEN}


def draw_class_balance(found: LookResult, path: Path) -> None:
    """Images per class in each split, the largest class of training first."""
    classes, counts = found.classes.classes, found.classes.counts
    order = np.argsort(-np.array(counts["train"]), kind="stable")
    drawing = make_figure(10, 1.2 + 0.25 * min(max(len(order), 4), MAX_NAMED_CLASSES))
    panels = drawing.subplots(1, 3, sharey=True)
    for axes, (split, numbers) in zip(panels, counts.items(), strict=True):
        bars = axes.barh(range(len(order)), np.array(numbers)[order], 0.78, color=SPLIT_COLORS[split])
        style_axes(axes, f"{split}: {sum(numbers):,} images", "images", "")
        axes.margins(x=0.2, y=0.01)
        if len(order) <= MAX_NAMED_CLASSES:
            axes.bar_label(bars, fmt=" {:,.0f}", fontsize=8)
            axes.set_yticks(range(len(order)), [shorten_middle(classes[index], 28) for index in order])
    panels[0].invert_yaxis()
    save_figure(drawing, path)


def draw_image_sizes(found: LookResult, path: Path) -> None:
    """Scatter plot of height and width, and histograms of the shorter side and of the aspect ratio."""
    sizes = found.sizes
    drawing = make_figure(11, 4.2)
    plane, sides, aspects = drawing.subplots(1, 3)
    draw_size_scatter(plane, sizes)
    draw_histogram(sides, sizes.shorter_side.numpy())
    sides.axvline(sizes.train_size, color=RED, linewidth=1.8, label=f"training crop {sizes.train_size} px")
    resize = sizes.view.resize
    sides.axvline(resize, color=ORANGE, linestyle="--", linewidth=1.8, label=f"evaluation resizes to {resize} px")
    draw_legend_below(sides)
    style_axes(sides, "Shorter side", "pixels", "images")
    draw_histogram(aspects, sizes.aspect_ratio.numpy())
    style_axes(aspects, "Aspect ratio", "width / height", "images")
    save_figure(drawing, path)


def draw_histogram(axes: "Axes", values: np.ndarray) -> None:
    """A histogram of positive values [N] from zero on."""
    axes.hist(values, 40, range=(0, 1.08 * values.max()), color=BLUE)


def draw_legend_below(axes: "Axes") -> None:
    """A legend below the axes, where it covers nothing."""
    axes.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.15))


def draw_size_scatter(axes: "Axes", sizes: ImageSizes) -> None:
    """One point per size, its area proportional to the number of images."""
    unique, counts = np.unique(sizes.sizes.numpy(), axis=0, return_counts=True)
    height, width = unique.T
    axes.scatter(width, height, 6 + 120 * counts / counts.max(), color=BLUE, alpha=0.55, linewidths=0)
    side, most = sizes.train_size, float(unique.max()) * 1.08
    axes.plot([side, side, most], [most, side, side], color=RED, linewidth=1.4, label="training crop")
    draw_legend_below(axes)
    axes.plot([0, most], [0, most], color=GREY, linewidth=0.8, linestyle=":")
    axes.set(xlim=(0, most), ylim=(0, most), aspect="equal")
    style_axes(axes, f"{len(sizes.sizes):,} images", "width (px)", "height (px)")


def draw_object_scale(found: LookResult, path: Path) -> None:
    """Histogram over training crops: the size of objects in training over that in evaluation."""
    drawing = make_figure(7, 3.8)
    axes = drawing.subplots()
    draw_histogram(axes, found.scale.scale_ratio.numpy())
    axes.axvline(1, color=GREY, linewidth=1.5, linestyle="--", label="equal")
    axes.axvline(found.scale.median, color=RED, linewidth=1.8, label=f"median {found.scale.median:.2f}")
    axes.legend(frameon=False, fontsize=9, loc="upper right")
    style_axes(axes, "Size of objects, training over evaluation", "ratio of sides", "training crops")
    save_figure(drawing, path)
