"""A drawing as PNG on white paper, painted by matplotlib mark for mark: what the SVG shows, where SVG is not taken."""

from pathlib import Path as FilePath
from typing import TYPE_CHECKING

from sota_exp.report.drawing import INKS, Area, Dot, Drawing, Label, Mark, Path

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Pixels of paper to an inch, and of the file to a pixel of paper.
PER_INCH, SCALE = 96, 2


def write_png(drawing: Drawing, path: FilePath) -> None:
    """Whole or not at all."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(drawing.width / PER_INCH, drawing.height / PER_INCH))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, drawing.width)
    axes.set_ylim(drawing.height, 0)
    axes.axis("off")
    for order, mark in enumerate(drawing.marks):
        paint(axes, mark, order + 2)
    beside = path.with_name(f".{path.name}")
    figure.savefig(beside, dpi=PER_INCH * SCALE, format="png", facecolor="white")
    beside.replace(path)


def paint(axes: "Axes", drawn: Mark, order: int) -> None:
    match drawn:
        case Path():
            paint_path(axes, drawn, order)
        case Area():
            axes.fill(
                *zip(*drawn.points, strict=True), color=INKS[drawn.ink][0], alpha=drawn.opacity, lw=0, zorder=order
            )
        case Dot():
            paint_dot(axes, drawn, order)
        case Label():
            paint_label(axes, drawn, order)


def paint_path(axes: "Axes", drawn: Path, order: int) -> None:
    lengths = [float(part) / drawn.width for part in drawn.dash.split()]
    style = (0, tuple(lengths)) if lengths else "-"
    width = drawn.width * 72 / PER_INCH
    axes.plot(*zip(*drawn.points, strict=True), color=INKS[drawn.ink][0], lw=width, ls=style, zorder=order)


def paint_dot(axes: "Axes", drawn: Dot, order: int) -> None:
    ink = INKS[drawn.ink][0]
    inside = INKS["paper"][0] if drawn.is_hollow else ink
    size = 2 * drawn.radius * 72 / PER_INCH
    edge = 1.35 if drawn.is_hollow else 0
    axes.plot([drawn.x], [drawn.y], "o", ms=size, mfc=inside, mec=ink, mew=edge, zorder=order)


def paint_label(axes: "Axes", drawn: Label, order: int) -> None:
    from matplotlib.patheffects import withStroke

    text = axes.text(
        drawn.x,
        drawn.y,
        drawn.text.replace("$", r"\$"),
        color=INKS[drawn.ink][0],
        fontsize=drawn.size * 72 / PER_INCH * 0.94,
        ha={"start": "left", "middle": "center", "end": "right"}[drawn.anchor],
        va="baseline",
        weight="bold" if drawn.is_bold else "normal",
        zorder=order,
    )
    if drawn.halo:
        text.set_path_effects([withStroke(linewidth=2.5, foreground="white")])
