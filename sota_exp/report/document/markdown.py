"""A document as Markdown: the same text, tables and figures as the page."""

import re
from collections.abc import Sequence

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
    TextSpan,
)

#: Characters with a meaning in Markdown or HTML.
SPECIAL = re.compile(r"([\\`*\[\]<>|]|(?<!\w)_|_(?!\w))")


def document_to_markdown(document: Document) -> str:
    blocks = "\n\n".join(format_blocks(list(document.answer), 2) + format_blocks(list(document.sections), 2))
    facts = " · ".join(map(escape, document.facts))
    end = f"\n\n---\n\n{format_words(document.colophon)}" if document.colophon else ""
    return f"# {escape(document.title)}\n\n{facts}\n\n{blocks}{end}\n"


def format_blocks(blocks: Sequence[Block], level: int) -> list[str]:
    return [text for block in blocks for text in format_block(block, level)]


def format_block(block: Block, level: int) -> list[str]:
    """The parts of a block; empty lines go between them."""
    match block:
        case Paragraph():
            return [f"> {format_words(block.words)}" if block.tone == "note" else format_words(block.words)]
        case BulletList():
            return ["\n".join(f"- {format_words(item)}" for item in block.items)]
        case CodeBlock():
            return [f"```\n{block.text.rstrip()}\n```"]
        case DocumentTable():
            return format_table(block)
        case DocumentFigure():
            return format_figure(block)
        case FoldedBlocks():
            inside = format_blocks(block.blocks, level + 1)
            return [f"<details><summary>{escape(block.summary)}</summary>", *inside, "</details>"]
        case Section():
            return [f"{'#' * level} {escape(block.title)}", *format_blocks(block.blocks, level + 1)]


def format_table(block: DocumentTable) -> list[str]:
    columns = [format_row([escape(column.name) or " " for column in block.columns])]
    columns.append(format_row(["---:" if column.is_number else "---" for column in block.columns]))
    rows = [format_row([format_words(cell.words) for cell in row]) for row in block.rows]
    return [f"**{block.number}.** {format_words(block.caption)}", "\n".join([*columns, *rows])]


def format_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def format_figure(block: DocumentFigure) -> list[str]:
    """The picture by its file below `figures/`."""
    return [f"![{escape(block.alt)}](figures/{block.name}.svg)", f"**{block.number}.** {escape(block.caption)}"]


def format_words(words: RichText) -> str:
    return "".join(map(format_span, words))


def format_span(word: TextSpan | str) -> str:
    if isinstance(word, str):
        return escape(word)
    marks = {"strong": "**", "emphasis": "*"}
    mark, inner = marks.get(word.kind, ""), word.text.strip()
    before, after = word.text[: len(word.text) - len(word.text.lstrip())], word.text[len(word.text.rstrip()) :]
    text = format_code(word.text) if word.kind == "code" else f"{before}{mark}{escape(inner)}{mark}{after}"
    return f"[{text}]({word.href})" if word.href else text


def format_code(text: str) -> str:
    """Inline code; backticks and bars in it are handled."""
    inner = text.replace("|", "\\|").replace("\n", " ")
    return f"`` {inner} ``" if "`" in inner else f"`{inner}`"


def escape(text: str) -> str:
    return SPECIAL.sub(r"\\\1", text).replace("\n", " ")
