"""A document as one HTML file that needs nothing else: style and drawings are inside, no script, no network."""

from collections.abc import Sequence
from html import escape
from importlib.resources import files

from sota_exp.report.document.document import (
    Block,
    Cell,
    Code,
    Column,
    Details,
    Document,
    Figure,
    Listing,
    Panel,
    Paragraph,
    Section,
    Span,
    Table,
    Words,
    plain,
)
from sota_exp.report.drawing import svg

#: Signs that say what a colour says, for those who can't tell colours and for print.
SIGNS = {"helps": "▲", "hurts": "▼", "open": "○", "failed": "✕"}


def write(document: Document) -> str:
    """The whole page."""
    style = svg.style() + files("sota_exp.report.document").joinpath("page.css").read_text()
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
            f'<div class="answer" id="answer">{blocks_at(document.answer, 2)}</div>',
            f'<nav aria-label="Contents"><ol>{contents}</ol></nav>' if contents else "",
            blocks_at(document.sections, 2),
            f"<footer>{inline(document.colophon)}</footer></main></body></html>",
            "",
        ]
    )


def blocks_at(blocks: Sequence[Block], level: int) -> str:
    return "\n".join(of(block, level) for block in blocks)


def of(block: Block, level: int) -> str:
    match block:
        case Paragraph():
            return f'<p class="{block.tone}">{inline(block.words)}</p>'
        case Listing():
            return f"<ul>{''.join(f'<li>{inline(item)}</li>' for item in block.items)}</ul>"
        case Code():
            return f'<pre tabindex="0"><code>{escape(block.text.rstrip())}</code></pre>'
        case Table():
            return table(block)
        case Figure():
            return figure(block)
        case Details():
            inside = blocks_at(block.blocks, level + 1)
            return f"<details><summary>{escape(block.summary)}</summary>{inside}</details>"
        case Section():
            heading = f"<h{level}>{escape(block.title)}</h{level}>"
            return f'<section id="{block.anchor}">{heading}{blocks_at(block.blocks, level + 1)}</section>'


def table(block: Table) -> str:
    """It scrolls by itself where it is wider than the paper, its first column standing still."""
    name = escape(f"{block.number}: {plain(block.caption)}", quote=True)
    caption = f"<caption><b>{escape(block.number)}.</b> {inline(block.caption)}</caption>"
    heads = "".join(f'<th scope="col"{of_column(column)}>{escape(column.name)}</th>' for column in block.columns)
    rows = "".join(f"<tr>{row_of(row, block.columns)}</tr>" for row in block.rows)
    inside = f"<table>{caption}<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<div class="scroll" role="region" tabindex="0" aria-label="{name}">{inside}</div>'


def of_column(column: Column) -> str:
    return ' class="number"' if column.is_number else ""


def row_of(row: Sequence[Cell], columns: Sequence[Column]) -> str:
    first = f'<th scope="row"{of_column(columns[0])}>{inline(row[0].words)}</th>'
    return first + "".join(data(cell, column) for cell, column in zip(row[1:], columns[1:], strict=True))


def data(cell: Cell, column: Column) -> str:
    names = " ".join(name for name in ("number" if column.is_number else "", cell.tone) if name)
    kind = f' class="{names}"' if names else ""
    style = shading(cell.shade) if cell.shade is not None else ""
    sign = f'<span class="sign" aria-hidden="true">{SIGNS[cell.tone]}</span> ' if cell.tone in SIGNS else ""
    return f"<td{kind}{style}>{sign}{inline(cell.words)}</td>"


def shading(shade: float) -> str:
    ink = "blue" if shade > 0 else "red"
    share = round(min(abs(shade), 1) * 55)
    return f' style="background:color-mix(in srgb,var(--{ink}) {share}%,transparent)"'


def figure(block: Figure) -> str:
    panels = "".join(panel(each) for each in block.panels)
    many = " many" if len(block.panels) > 1 else ""
    caption = f"<figcaption><b>{escape(block.number)}.</b> {inline(block.caption)}</figcaption>"
    return f'<figure id="figure-{block.name}"><div class="panels{many}">{panels}</div>{caption}</figure>'


def panel(each: Panel) -> str:
    """Both sizes, of which the style sheet shows one; once where they are the same."""
    if each.wide is each.narrow:
        drawn = svg.inline(each.wide, "both")
    else:
        drawn = svg.inline(each.wide, "wide") + svg.inline(each.narrow, "narrow")
    title = f'<div class="title">{escape(each.title)}</div>' if each.title else ""
    return f'<div class="panel">{title}{drawn}</div>'


def inline(words: Words) -> str:
    return "".join(map(spanned, words))


def spanned(word: Span | str) -> str:
    if isinstance(word, str):
        return escape(word)
    elements = {"strong": "strong", "emphasis": "em", "code": "code"}
    name = elements.get(word.kind)
    text = f"<{name}>{escape(word.text)}</{name}>" if name else escape(word.text)
    return f'<a href="{escape(word.href, quote=True)}">{text}</a>' if word.href else text
