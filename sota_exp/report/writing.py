"""A document on disk: one page, the same as Markdown, and its figures as files. Each is written whole or not at all."""

from pathlib import Path

from sota_exp.report import html, markdown, raster, svg
from sota_exp.report.document import Document


def write_document(document: Document, directory: Path) -> list[Path]:
    """`report.html`, `report.md` and `figures/NAME.svg` and `.png`; their paths in this order."""
    page, text = directory / "report.html", directory / "report.md"
    folder = directory / "figures"
    folder.mkdir(exist_ok=True)
    pictures = []
    for figure in document.figures():
        drawn = figure.on_one_paper()
        vector, pixels = folder / f"{figure.name}.svg", folder / f"{figure.name}.png"
        write_whole(vector, svg.standalone(drawn))
        raster.write_png(drawn, pixels)
        pictures += [vector, pixels]
    write_whole(text, markdown.write(document))
    write_whole(page, html.write(document))
    return [page, text, *pictures]


def write_whole(path: Path, text: str) -> None:
    beside = path.with_name(f".{path.name}")
    beside.write_text(text)
    beside.replace(path)
