"""A document as one self-contained HTML file: styles and drawings are inline, no script, no network."""

from collections.abc import Sequence
from html import escape
from importlib.resources import files

from sota_exp.report.document.document import (
    Block,
    BulletList,
    CodeBlock,
    Document,
    DocumentFigure,
    DocumentTable,
    FoldedBlocks,
    Paragraph,
    RichText,
    Section,
    TableCell,
    TableColumn,
    TextSpan,
    get_plain_text,
)
from sota_exp.report.drawing.chart import NARROW, WIDE, chart_to_svg, format_ink_css

#: Signs with the meaning of the colours, for colour-blind readers and for print.
SIGNS = {"helps": "▲", "hurts": "▼", "open": "○", "failed": "✕"}


def document_to_html(document: Document) -> str:
    """The page as HTML text."""
    style = format_ink_css() + files("sota_exp.report.document").joinpath("page.css").read_text()
    title = escape(document.title)
    facts = "".join(f"<li>{escape(fact)}</li>" for fact in document.facts)
    contents = "".join(f'<li><a href="#{part.anchor}">{escape(part.title)}</a></li>' for part in document.sections)
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{title}</title><style>{style}</style></head><body>",
            '<a class="skip" href="#answer">To the answer</a>',
            f'<main><header><h1>{title}</h1><ul class="facts">{facts}</ul></header>',
            f'<div class="answer" id="answer">{format_blocks(document.answer, 2)}</div>',
            f'<nav aria-label="Contents"><ol>{contents}</ol></nav>' if contents else "",
            format_blocks(document.sections, 2),
            f"<footer>{format_words(document.colophon)}</footer></main></body></html>",
            "",
        ]
    )


def format_blocks(blocks: Sequence[Block], level: int) -> str:
    return "\n".join(format_block(block, level) for block in blocks)


def format_block(block: Block, level: int) -> str:
    match block:
        case Paragraph():
            return f'<p class="{block.tone}">{format_words(block.words)}</p>'
        case BulletList():
            return f"<ul>{''.join(f'<li>{format_words(item)}</li>' for item in block.items)}</ul>"
        case CodeBlock():
            return f'<pre tabindex="0"><code>{escape(block.text.rstrip())}</code></pre>'
        case DocumentTable():
            return format_table(block)
        case DocumentFigure():
            return format_figure(block)
        case FoldedBlocks():
            inside = format_blocks(block.blocks, level + 1)
            return f"<details><summary>{escape(block.summary)}</summary>{inside}</details>"
        case Section():
            heading = f"<h{level}>{escape(block.title)}</h{level}>"
            return f'<section id="{block.anchor}">{heading}{format_blocks(block.blocks, level + 1)}</section>'


def format_table(block: DocumentTable) -> str:
    """A table that scrolls if it is wider than the page; its first column stays in view."""
    name = escape(f"{block.number}: {get_plain_text(block.caption)}", quote=True)
    caption = f"<caption><b>{escape(block.number)}.</b> {format_words(block.caption)}</caption>"
    heads = "".join(
        f'<th scope="col"{format_column_class(column)}>{escape(column.name)}</th>' for column in block.columns
    )
    rows = "".join(f"<tr>{format_row(row, block.columns)}</tr>" for row in block.rows)
    inside = f"<table>{caption}<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<div class="scroll" role="region" tabindex="0" aria-label="{name}">{inside}</div>'


def format_column_class(column: TableColumn) -> str:
    return ' class="number"' if column.is_number else ""


def format_row(row: Sequence[TableCell], columns: Sequence[TableColumn]) -> str:
    first = f'<th scope="row"{format_column_class(columns[0])}>{format_words(row[0].words)}</th>'
    return first + "".join(format_cell(cell, column) for cell, column in zip(row[1:], columns[1:], strict=True))


def format_cell(cell: TableCell, column: TableColumn) -> str:
    names = " ".join(name for name in ("number" if column.is_number else "", cell.tone) if name)
    kind = f' class="{names}"' if names else ""
    style = format_shade(cell.shade) if cell.shade is not None else ""
    sign = f'<span class="sign" aria-hidden="true">{SIGNS[cell.tone]}</span> ' if cell.tone in SIGNS else ""
    return f"<td{kind}{style}>{sign}{format_words(cell.words)}</td>"


def format_shade(shade: float) -> str:
    ink = "blue" if shade > 0 else "red"
    share = round(min(abs(shade), 1) * 55)
    return f' style="background:color-mix(in srgb,var(--{ink}) {share}%,transparent)"'


def format_figure(block: DocumentFigure) -> str:
    """The chart for a desktop and for a phone, of which the style sheet shows one."""
    drawn = "".join(
        chart_to_svg(block.draw(width), block.alt, name) for width, name in ((WIDE, "wide"), (NARROW, "narrow"))
    )
    caption = f"<figcaption><b>{escape(block.number)}.</b> {escape(block.caption)}</figcaption>"
    return f'<figure id="figure-{block.name}">{drawn}{caption}</figure>'


def format_words(words: RichText) -> str:
    return "".join(map(format_span, words))


def format_span(word: TextSpan | str) -> str:
    if isinstance(word, str):
        return escape(word)
    elements = {"strong": "strong", "emphasis": "em", "code": "code"}
    name = elements.get(word.kind)
    text = f"<{name}>{escape(word.text)}</{name}>" if name else escape(word.text)
    return f'<a href="{escape(word.href, quote=True)}">{text}</a>' if word.href else text
