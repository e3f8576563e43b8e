"""Matplotlib figures without a display and without pyplot's global state; imported on first use."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from sota_exp.runs.atomic import write_recomputable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Okabe and Ito (2008).
BLUE, ORANGE, RED, GREEN, GREY = "#0072B2", "#E69F00", "#D55E00", "#009E73", "#777777"

#: Fonts for letters that Matplotlib's own font lacks, used where they are installed.
OTHER_FONTS = (
    *("Noto Sans CJK JP", "Noto Sans CJK SC", "WenQuanYi Zen Hei", "Hiragino Sans", "Microsoft YaHei"),
    *("Noto Sans Arabic", "Noto Sans Devanagari", "Noto Sans Thai", "Arial Unicode MS"),
)


def make_figure(width: float, height: float) -> "Figure":
    """An empty figure; width and height in inches. What stands between two $ in its texts is no formula."""
    from matplotlib import rcParams
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    rcParams["text.parse_math"] = False
    rcParams["font.family"] = ["sans-serif", *(name for name in OTHER_FONTS if name in installed)]
    drawing = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(drawing)
    return drawing


def style_axes(axes: "Axes", title: str, x: str, y: str) -> None:
    """Set title and labels; a light grid behind, no frame."""
    axes.set_title(title, fontsize=11, loc="left")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_axisbelow(True)
    if not axes.images:
        axes.grid(color="#e6e6e6", linewidth=0.8)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(length=0, labelsize=8.5)


def save_figure(drawing: "Figure", path: Path) -> None:
    """Write a PNG atomically. Letters that no font has are drawn as boxes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        write_recomputable(path, lambda file: drawing.savefig(file, dpi=110, format="png", facecolor="white"))
