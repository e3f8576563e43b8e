"""Images in rows, each above lines of text."""

import base64
import io
import os
import re
from collections.abc import Sequence

import altair as alt
import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len, chop_cells

from sota_exp.config.values import shorten_middle
from sota_exp.report.drawing.chart import build_data

#: Pixels of an image, of the gap beside it, of a line of text, and of one of its characters.
SIDE, GAP, LINE, CHARACTER = 128, 22, 14, 6.8

#: Most lines of a text.
MOST_LINES = 3


def draw_image_grid(
    images: Sequence[NDArray[np.uint8]], texts: Sequence[Sequence[str]], width: float
) -> alt.LayerChart:
    """images: uint8 [3, H, W] each, of one shape. texts: the paragraphs below each image, which are wrapped."""
    wide = SIDE * images[0].shape[2] // images[0].shape[1]
    columns = max(int(width // (wide + GAP)), 1)
    words = [[line for text in each for line in wrap(text)] for each in texts]
    row = SIDE + LINE * (max(map(len, words), default=0) + 1) + 8
    total = (wide + GAP) * columns, row * -(-len(images) // columns)
    values = [
        {
            "x": (wide + GAP) * (place % columns) + wide / 2,
            "y": row * (place // columns) + SIDE / 2,
            "url": to_data_url(image.transpose(1, 2, 0)),
            "words": lines,
        }
        for place, (image, lines) in enumerate(zip(images, words, strict=True))
    ]
    base = alt.Chart(build_data(values)).encode(
        alt.X("x:Q", scale=alt.Scale(domain=[0, total[0]], nice=False), axis=None),
        alt.Y("y:Q", scale=alt.Scale(domain=[total[1], 0], nice=False), axis=None),
    )
    text = base.mark_text(fontSize=11, dx=-wide / 2, dy=SIDE / 2 + 6, align="left", baseline="top", lineHeight=LINE)
    pictures = base.mark_image(width=wide, height=SIDE, smooth=False).encode(alt.Url("url:N"))
    return alt.layer(pictures, text.encode(alt.Text("words:N"))).properties(width=total[0], height=total[1])


def wrap(text: str) -> list[str]:
    """The text in lines as wide as an image, broken between words and parts of a path; of a long one, both ends.

    A longer part is broken anywhere, but for its extension.
    """
    most, lines = int((SIDE + GAP - 6) / CHARACTER), [""]
    for part in re.split(r"(?<=[\s/_-])", shorten_middle(text, MOST_LINES * most)):
        stem, extension = os.path.splitext(part)
        fits = cell_len(part.rstrip()) <= most
        for piece in [part] if fits else [*chop_cells(stem, most), *chop_cells(extension, most)]:
            if cell_len(lines[-1] + piece.rstrip()) > most:
                lines.append("")
            lines[-1] += piece
    return [line.strip() for line in lines]


def to_data_url(pixels: NDArray[np.uint8]) -> str:
    """An image, uint8 [H, W, 3], as the URL of a PNG."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="png")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
