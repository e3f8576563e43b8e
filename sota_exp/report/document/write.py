"""A document on disk: HTML, Markdown and figure files. Each file is replaced atomically."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sota_exp.errors import RunFailed
from sota_exp.report.document import html, markdown
from sota_exp.report.document.document import Document, DocumentFigure, Paragraph
from sota_exp.report.drawing.chart import WIDE, chart_to_svg, write_png, write_svg
from sota_exp.runs.atomic import write_recomputable_text


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
    drawn = chart_to_svg(figure.draw(WIDE), figure.alt)
    vector, pixels = folder / f"{figure.name}.svg", folder / f"{figure.name}.png"
    write_svg(drawn, vector)
    write_png(drawn, pixels)
    return [vector, pixels]
