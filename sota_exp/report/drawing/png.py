"""A drawing as PNG on white, where SVG is not supported. Marks are drawn by matplotlib's renderer, without its axes.

Positions are final already; with matplotlib's axes, the figures of a page take three times as long.
"""

from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

from sota_exp.report.drawing.drawing import INKS, Circle, Drawing, Mark, Polygon, Polyline, TextMark
from sota_exp.runs.atomic import write_recomputable

if TYPE_CHECKING:
    from matplotlib.backend_bases import GraphicsContextBase
    from matplotlib.backends.backend_agg import RendererAgg

#: Pixels of the file per pixel of the drawing.
SCALE = 2

#: Matplotlib's default font is wider than the fonts of pages.
FONT_SCALE = 0.9


def write_drawing_png(drawing: Drawing, path: FilePath) -> None:
    """Write the PNG atomically."""
    import numpy as np
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.image import imsave

    renderer = RendererAgg(drawing.width * SCALE, drawing.height * SCALE, 72 * SCALE)
    paper = ((0, 0), (drawing.width, 0), (drawing.width, drawing.height), (0, drawing.height))
    for mark in (Polygon(points=paper, ink="paper"), *drawing.marks):
        paint(renderer, mark)
    write_recomputable(path, lambda file: imsave(file, np.asarray(renderer.buffer_rgba()), format="png"))


def paint(renderer: "RendererAgg", drawn: Mark) -> None:
    match drawn:
        case Polyline():
            paint_path(renderer, drawn)
        case Polygon():
            pen = make_pen(renderer, drawn.ink, 0)
            pen.set_alpha(drawn.opacity)
            paint_outline(renderer, pen, drawn.points, INKS[drawn.ink][0], is_closed=True)
        case Circle():
            paint_dot(renderer, drawn)
        case TextMark():
            paint_label(renderer, drawn)


def make_pen(renderer: "RendererAgg", ink: str, width: float) -> "GraphicsContextBase":
    pen = renderer.new_gc()
    pen.set_foreground(INKS[ink][0])
    pen.set_linewidth(width)
    return pen


def paint_outline(renderer: "RendererAgg", pen: Any, points: Any, face: str | None, is_closed: bool) -> None:
    from matplotlib.colors import to_rgba
    from matplotlib.path import Path as Outline

    outline = Outline([*points, points[0]] if is_closed else points, closed=is_closed)
    renderer.draw_path(pen, outline, make_transform(renderer), to_rgba(face) if face else None)


def make_transform(renderer: "RendererAgg") -> Any:
    """From pixels of the drawing (y points down) to those of the renderer (y points up)."""
    from matplotlib.transforms import Affine2D

    return Affine2D().scale(SCALE, -SCALE).translate(0, renderer.height)


def paint_path(renderer: "RendererAgg", drawn: Polyline) -> None:
    pen = make_pen(renderer, drawn.ink, drawn.width)
    if drawn.dash:
        pen.set_dashes(0, [float(part) for part in drawn.dash.split()])
    paint_outline(renderer, pen, drawn.points, None, is_closed=False)


def paint_dot(renderer: "RendererAgg", drawn: Circle) -> None:
    from matplotlib.colors import to_rgba
    from matplotlib.path import Path as Outline

    pen = make_pen(renderer, drawn.ink, 1.8 if drawn.is_hollow else 0)
    face = INKS["paper" if drawn.is_hollow else drawn.ink][0]
    renderer.draw_path(pen, Outline.circle((drawn.x, drawn.y), drawn.radius), make_transform(renderer), to_rgba(face))


def paint_label(renderer: "RendererAgg", drawn: TextMark) -> None:
    from matplotlib.font_manager import FontProperties

    font = FontProperties(size=drawn.size * FONT_SCALE, weight="bold" if drawn.is_bold else "normal")
    width, _, _ = renderer.get_text_width_height_descent(drawn.text, font, False)
    left = drawn.x * SCALE - {"start": 0.0, "middle": 0.5, "end": 1.0}[drawn.anchor] * width
    if drawn.halo:
        pen = make_pen(renderer, "paper", 0)
        for across, down in ((-3, 0), (3, 0), (0, -3), (0, 3), (-2, -2), (2, -2), (-2, 2), (2, 2)):
            renderer.draw_text(pen, left + across, drawn.y * SCALE + down, drawn.text, font, 0)
    renderer.draw_text(make_pen(renderer, drawn.ink, 0), left, drawn.y * SCALE, drawn.text, font, 0)
