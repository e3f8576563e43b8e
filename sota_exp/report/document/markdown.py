"""A document as Markdown: the same words, tables and figures as the page."""

import re
from collections.abc import Sequence

from sota_exp.report.document.document import (
    Block,
    Code,
    Details,
    Document,
    Figure,
    Listing,
    Paragraph,
    Section,
    Span,
    Table,
    Words,
)

#: What Markdown or HTML would take for more than text.
SPECIAL = re.compile(r"([\\`*\[\]<>|]|(?<!\w)_|_(?!\w))")


def write(document: Document) -> str:
    blocks = "\n\n".join(blocks_at(list(document.answer), 2) + blocks_at(list(document.sections), 2))
    facts = " · ".join(map(escaped, document.facts))
    end = f"\n\n---\n\n{inline(document.colophon)}" if document.colophon else ""
    return f"# {escaped(document.title)}\n\n{facts}\n\n{blocks}{end}\n"


def blocks_at(blocks: Sequence[Block], level: int) -> list[str]:
    return [text for block in blocks for text in of(block, level)]


def of(block: Block, level: int) -> list[str]:
    """The parts of a block, between which empty lines go."""
    match block:
        case Paragraph():
            return [f"> {inline(block.words)}" if block.tone == "note" else inline(block.words)]
        case Listing():
            return ["\n".join(f"- {inline(item)}" for item in block.items)]
        case Code():
            return [f"```\n{block.text.rstrip()}\n```"]
        case Table():
            return table(block)
        case Figure():
            return figure(block)
        case Details():
            inside = blocks_at(block.blocks, level + 1)
            return [f"<details><summary>{escaped(block.summary)}</summary>", *inside, "</details>"]
        case Section():
            return [f"{'#' * level} {escaped(block.title)}", *blocks_at(block.blocks, level + 1)]


def table(block: Table) -> list[str]:
    columns = [row_of([escaped(column.name) or " " for column in block.columns])]
    columns.append(row_of(["---:" if column.is_number else "---" for column in block.columns]))
    rows = [row_of([inline(cell.words) for cell in row]) for row in block.rows]
    return [f"**{block.number}.** {inline(block.caption)}", "\n".join([*columns, *rows])]


def row_of(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def figure(block: Figure) -> list[str]:
    """The picture by the name under which `figures/` has it."""
    said = ". ".join(dict.fromkeys(escaped(panel.wide.alt) for panel in block.panels))
    return [f"![{said}](figures/{block.name}.svg)", f"**{block.number}.** {inline(block.caption)}"]


def inline(words: Words) -> str:
    return "".join(map(spanned, words))


def spanned(word: Span | str) -> str:
    if isinstance(word, str):
        return escaped(word)
    marks = {"strong": "**", "emphasis": "*"}
    mark, inner = marks.get(word.kind, ""), word.text.strip()
    before, after = word.text[: len(word.text) - len(word.text.lstrip())], word.text[len(word.text.rstrip()) :]
    text = fenced(word.text) if word.kind == "code" else f"{before}{mark}{escaped(inner)}{mark}{after}"
    return f"[{text}]({word.href})" if word.href else text


def fenced(text: str) -> str:
    """Code, whatever back ticks and bars are in it."""
    inner = text.replace("|", "\\|").replace("\n", " ")
    return f"`` {inner} ``" if "`" in inner else f"`{inner}`"


def escaped(text: str) -> str:
    return SPECIAL.sub(r"\\\1", text).replace("\n", " ")
