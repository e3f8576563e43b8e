"""A document on disk: HTML, Markdown and figure files. Each file is replaced atomically."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sota_exp.errors import RunFailed
from sota_exp.report.document import html, markdown
from sota_exp.report.document.document import Document, Figure, Paragraph
from sota_exp.report.drawing import png, svg
from sota_exp.report.drawing.drawing import Drawing, moved
from sota_exp.runs.atomic import replace_text

#: Pixels around a figure in its file.
MARGIN = 12.0


@dataclass(frozen=True, kw_only=True)
class Written:
    """The written files (HTML first, Markdown second), and the paragraphs of the answer."""

    paths: list[Path]
    answer: Sequence[Paragraph]


def write_document(document: Document, directory: Path) -> Written:
    """Write `report.html`, `report.md`, `figures/NAME.svg` and `figures/NAME.png`.

    Raises:
        RunFailed: the directory cannot be written.
    """
    page, text = directory / "report.html", directory / "report.md"
    try:
        (directory / "figures").mkdir(exist_ok=True)
        pictures = [path for figure in document.figures() for path in write_figure(figure, directory / "figures")]
        replace_text(text, markdown.write(document))
        replace_text(page, html.write(document))
    except OSError as error:
        raise RunFailed(f"no report can be written: {error}; check permissions and free space") from error
    answer = [block for block in document.answer if isinstance(block, Paragraph)]
    return Written(paths=[page, text, *pictures], answer=answer)


def write_figure(figure: Figure, folder: Path) -> list[Path]:
    drawn = add_margin(figure.on_one_paper(), MARGIN)
    vector, pixels = folder / f"{figure.name}.svg", folder / f"{figure.name}.png"
    replace_text(vector, svg.standalone(drawn))
    png.write_png(drawn, pixels)
    return [vector, pixels]


def add_margin(drawing: Drawing, margin: float) -> Drawing:
    """The drawing with a margin around it."""
    marks = tuple(moved(mark, margin, margin) for mark in drawing.marks)
    return replace(drawing, width=drawing.width + 2 * margin, height=drawing.height + 2 * margin, marks=marks)
