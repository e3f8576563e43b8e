"""Figure of a resolution search: accuracy by size, by FLOPs and by measured time."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sota_exp.report.drawing.matplotlib_canvas import make_figure, save_figure, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_resolution_curve(report: dict[str, Any], path: Path) -> None:
    """Write `resolution` of a result as a PNG: one line per crop ratio; the default and the chosen view are marked."""
    drawing = make_figure(12, 3.6)
    left, middle, right = drawing.subplots(1, 3, sharey=True)
    _plot_curves(left, report, "size", "side of the evaluation crop (px)")
    _plot_curves(middle, report, "gflops_per_image", "GFLOPs per image")
    _plot_curves(right, report, "milliseconds_per_image", "milliseconds per image, on this machine")
    left.legend(fontsize="small")
    kept = "default kept" if report["chosen"] == report["default"] else "default replaced"
    gain, error = 100 * report["gain"], 100 * report["gain_standard_error"]
    drawing.suptitle(f"cross-fitted gain {gain:+.2f} ± {error:.2f} points: {kept}", fontsize="medium")
    path.parent.mkdir(parents=True, exist_ok=True)
    save_figure(drawing, path)


def _plot_curves(axes: "Axes", report: dict[str, Any], key: str, label: str) -> None:
    # Sizes are whole pixels, so a crop ratio differs a little from size to size.
    for ratio in sorted({round(point["crop_ratio"], 2) for point in report["curve"]}):
        same = [point for point in report["curve"] if round(point["crop_ratio"], 2) == ratio]
        points = sorted(same, key=lambda point: point[key])
        axes.plot([p[key] for p in points], [p["val_accuracy"] for p in points], ".-", label=f"crop ratio {ratio}")
    for which, marker in (("default", "o"), ("chosen", "*")):
        point = next(p for p in report["curve"] if (p["resize"], p["size"]) == tuple(report[which].values()))
        axes.plot(point[key], point["val_accuracy"], marker, mfc="none", mec="black", ms=11, ls="none", label=which)
    axes.locator_params("x", nbins=5)
    style_axes(axes, "", label, "val accuracy" if key == "size" else "")
