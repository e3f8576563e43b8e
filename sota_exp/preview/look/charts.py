"""Charts of `sota-exp look`: class balance, image sizes, and object sizes in training and evaluation."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sota_exp.preview.look.classes import FEW_IMAGES
from sota_exp.preview.look.findings import LookResult
from sota_exp.preview.look.sizes import ImageSizes
from sota_exp.report.drawing.matplotlib_canvas import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    RED,
    make_figure,
    save_figure,
    style_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: With more classes than this, classes are shown by rank, not by name.
MAX_NAMED_CLASSES = 40

#: With more sizes than this, sizes are shown as a two-dimensional histogram, not as points.
MAX_SHOWN_SIZES = 2000

SPLIT_COLORS = {"train": BLUE, "val": ORANGE, "test": GREEN}


def draw_class_balance(found: LookResult, path: Path) -> None:
    """Images per class in each split, the largest class of training first."""
    classes = found.classes
    order = np.argsort(-np.array(classes.counts["train"]), kind="stable")
    draw = draw_named_bars if len(order) <= MAX_NAMED_CLASSES else draw_ranked_bars
    draw(found, order, path)


def draw_named_bars(found: LookResult, order: NDArray[np.int64], path: Path) -> None:
    """One bar with its number per class. order: the classes, int64 [C]."""
    classes, num = found.classes, len(order)
    drawing = make_figure(10, 1.2 + 0.25 * max(num, 4))
    panels = drawing.subplots(1, 3, sharey=True)
    for axes, (split, counts) in zip(panels, classes.counts.items(), strict=True):
        values = np.array(counts)[order]
        axes.barh(range(num), values, 0.78, color=SPLIT_COLORS[split])
        for place, value in enumerate(values):
            axes.text(value, place, f" {value:,}", va="center", fontsize=8)
        axes.set_xlim(0, max(values.max(), 1) * 1.2)
        axes.set_ylim(num - 0.4, -0.6)
        axes.set_yticks(range(num), [classes.classes[index][:28] for index in order])
        style_axes(axes, f"{split}: {values.sum():,} images", "images", "")
        axes.grid(visible=False, axis="y")
        use_integer_ticks(axes)
    save_figure(drawing, path)


def draw_ranked_bars(found: LookResult, order: NDArray[np.int64], path: Path) -> None:
    """One outline per split over all classes in `order`, int64 [C]; only the largest and smallest class are named."""
    classes, num = found.classes, len(order)
    drawing = make_figure(10, 3.6)
    for axes, (split, counts) in zip(drawing.subplots(1, 3), classes.counts.items(), strict=True):
        values = np.array(counts)[order]
        axes.stairs(values, np.arange(num + 1) + 0.5, fill=True, color=SPLIT_COLORS[split])
        axes.set_ylim(0, max(values.max(), 1) * 1.15)
        axes.set_xlim(0.5, num + 0.5)
        style_axes(axes, f"{split}: {values.sum():,} images", "class, by its training images", "images")
        use_integer_ticks(axes)
        if split == "train" and values.min() < 3 * FEW_IMAGES:
            axes.axhline(FEW_IMAGES, color=RED, linestyle="--", linewidth=1, label=f"{FEW_IMAGES} images")
            axes.legend(frameon=False, fontsize=8, loc="upper right")
    (largest, most), (smallest, least) = classes.largest_class, classes.smallest_class
    drawing.suptitle(
        f"largest {largest[:30]} {most:,}, smallest {smallest[:30]} {least:,} training images", fontsize=10
    )
    save_figure(drawing, path)


def use_integer_ticks(axes: "Axes") -> None:
    """At most four ticks, at integers, on the axis of counts."""
    from matplotlib.ticker import MaxNLocator

    axis = axes.yaxis if axes.get_ylabel() == "images" else axes.xaxis
    axis.set_major_locator(MaxNLocator(4, integer=True))
    axis.set_major_formatter(lambda value, _: f"{value:,.0f}")


def draw_image_sizes(found: LookResult, path: Path) -> None:
    """Scatter plot of height and width, and histograms of the shorter side and of the aspect ratio."""
    sizes = found.sizes
    drawing = make_figure(11, 4.2)
    plane, sides, aspects = drawing.subplots(1, 3)
    draw_size_scatter(plane, sizes)
    values = sizes.shorter_side.numpy()
    sides.hist(values, compute_bin_edges(values), color=BLUE)
    sides.axvline(sizes.train_size, color=RED, linewidth=1.8, label=f"training crop {sizes.train_size} px")
    resize = sizes.view.resize
    sides.axvline(resize, color=ORANGE, linestyle="--", linewidth=1.8, label=f"evaluation resizes to {resize} px")
    sides.set_xlim(left=0)
    draw_legend_below(sides)
    style_axes(sides, "Shorter side", "pixels", "images")
    use_integer_ticks(sides)
    ratios = sizes.aspect_ratio.numpy()
    low, high = min(ratios.min(), 0.5), max(ratios.max(), 2.0)
    aspects.hist(ratios, np.geomspace(low * 0.97, high * 1.03, 40), color=BLUE)
    use_log_ticks(aspects, [ratio for ratio in (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 10.0) if low <= ratio <= high])
    style_axes(aspects, "Aspect ratio", "width / height", "images")
    use_integer_ticks(aspects)
    save_figure(drawing, path)


def draw_legend_below(axes: "Axes") -> None:
    """A legend below the axes, where it covers nothing."""
    axes.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.15))


def compute_bin_edges(values: NDArray[np.int64]) -> NDArray[np.float64]:
    """Edges, float64 [n], of about 40 bins at most, between integers, for values int64 [N]."""
    width = max(1, -(-int(values.max() - values.min() + 1) // 40), round(values.max() / 80))
    return np.arange(values.min() - width / 2, values.max() + width, width)


def draw_size_scatter(axes: "Axes", sizes: ImageSizes) -> None:
    """One point per size, its area proportional to the number of images; a histogram if there are too many sizes."""
    unique, counts = np.unique(sizes.sizes.numpy(), axis=0, return_counts=True)
    height, width = unique.T
    most = float(unique.max()) * 1.08
    if len(unique) > MAX_SHOWN_SIZES:
        axes.hexbin(width, height, counts, reduce_C_function=np.sum, gridsize=40, cmap="Blues", bins="log", mincnt=1)
    else:
        axes.scatter(width, height, 6 + 120 * counts / counts.max(), color=BLUE, alpha=0.55, linewidths=0)
    side = sizes.train_size
    axes.plot([side, side, most], [most, side, side], color=RED, linewidth=1.4, label="training crop")
    draw_legend_below(axes)
    axes.plot([0, most], [0, most], color=GREY, linewidth=0.8, linestyle=":")
    axes.set_xlim(0, most)
    axes.set_ylim(0, most)
    axes.set_aspect("equal")
    sort = "size" if len(unique) == 1 else "sizes"
    style_axes(axes, f"{len(sizes.sizes):,} images, {len(unique):,} {sort}", "width (px)", "height (px)")


def use_log_ticks(axes: "Axes", places: list[float]) -> None:
    """A logarithmic x-axis with ticks at `places` only."""
    from matplotlib.ticker import NullLocator

    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(places, [f"{place:g}" for place in places])


def draw_object_scale(found: LookResult, path: Path) -> None:
    """The ratio of object sizes in training and evaluation, and the evaluation size at which it would be 1."""
    drawing = make_figure(10, 3.8)
    left, right = drawing.subplots(1, 2)
    draw_gap_histogram(left, found)
    draw_gap_by_size(right, found)
    save_figure(drawing, path)


def draw_gap_histogram(axes: "Axes", found: LookResult) -> None:
    """Histogram of the ratio over training crops."""
    gap = found.scale.scale_ratio.numpy()
    low, high = min(gap.min(), 0.7), max(gap.max(), 1.43)
    edges = np.geomspace(low * 0.98, high * 1.02, 60)
    axes.hist(gap, edges.tolist(), weights=np.full(len(gap), 1 / len(gap)), color=BLUE)
    axes.axvline(1, color=GREY, linewidth=1.5, linestyle="--", label="equal")
    axes.axvline(found.scale.median, color=RED, linewidth=1.8, label=f"median {found.scale.median:.2f}")
    use_log_ticks(axes, [ratio for ratio in (0.1, 0.25, 0.5, 0.7, 1.0, 1.4, 2.0, 4.0, 8.0) if low <= ratio <= high])
    axes.legend(frameon=False, fontsize=9, loc="upper right")
    style_axes(axes, "Size of objects, training over evaluation", "ratio of sides", "fraction of training crops")
    axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")


def draw_gap_by_size(axes: "Axes", found: LookResult) -> None:
    """The median ratio for other evaluation sizes, with its interquartile range."""
    scale = found.scale
    size, agreeing = scale.view.size, scale.equal_evaluation_size
    sides = np.linspace(0.6 * min(size, agreeing), 1.4 * max(size, agreeing), 100)
    quarter, median, three = (scale.quantile(share) * size / sides for share in (0.25, 0.5, 0.75))
    axes.fill_between(sides, quarter, three, color=BLUE, alpha=0.2, linewidth=0, label="half of the crops")
    axes.plot(sides, median, color=BLUE, linewidth=1.8, label="median")
    axes.axhline(1, color=GREY, linewidth=1.5, linestyle="--")
    axes.plot([size], [scale.median], "o", color=RED, markersize=7, label=f"configured: {size} px")
    axes.plot([agreeing], [1], "*", color=GREEN, markersize=12, label=f"agrees: {agreeing} px")
    axes.legend(frameon=False, fontsize=9, loc="upper right")
    axes.set_ylim(bottom=0)
    title = f"Trained at {scale.train_size} px, evaluated at other sizes"
    style_axes(axes, title, "side of the evaluation crop (px)", "ratio of sides")
