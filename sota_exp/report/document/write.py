"""A document on disk: HTML, Markdown and figure files. Each file is replaced atomically."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sota_exp.errors import RunFailed
from sota_exp.report.document import html, markdown
from sota_exp.report.document.document import Document, DocumentFigure, Paragraph
from sota_exp.report.drawing import png, svg
from sota_exp.report.drawing.drawing import Drawing, shift_mark
from sota_exp.runs.atomic import write_recomputable_text

#: Pixels around a figure in its file.
MARGIN = 12.0


@dataclass(frozen=True, kw_only=True)
class WrittenReport:
    """The written files (HTML first, Markdown second), and the paragraphs of the answer."""

    paths: list[Path]
    answer: Sequence[Paragraph]


def write_document(document: Document, directory: Path) -> WrittenReport:
    """Write `report.html`, `report.md`, `figures/NAME.svg` and `figures/NAME.png`.

    Raises:
        RunFailed: the directory cannot be written.
    """
    page, text = directory / "report.html", directory / "report.md"
    try:
        (directory / "figures").mkdir(exist_ok=True)
        pictures = [path for figure in document.figures() for path in write_figure(figure, directory / "figures")]
        write_recomputable_text(text, markdown.document_to_markdown(document))
        write_recomputable_text(page, html.document_to_html(document))
    except OSError as error:
        raise RunFailed(f"no report can be written: {error}; check permissions and free space") from error
    answer = [block for block in document.answer if isinstance(block, Paragraph)]
    return WrittenReport(paths=[page, text, *pictures], answer=answer)


def write_figure(figure: DocumentFigure, folder: Path) -> list[Path]:
    drawn = add_margin(figure.combine_panels(), MARGIN)
    vector, pixels = folder / f"{figure.name}.svg", folder / f"{figure.name}.png"
    write_recomputable_text(vector, svg.drawing_to_svg_file(drawn))
    png.write_drawing_png(drawn, pixels)
    return [vector, pixels]


def add_margin(drawing: Drawing, margin: float) -> Drawing:
    """The drawing with a margin around it."""
    marks = tuple(shift_mark(mark, margin, margin) for mark in drawing.marks)
    return replace(drawing, width=drawing.width + 2 * margin, height=drawing.height + 2 * margin, marks=marks)
