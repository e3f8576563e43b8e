"""A report as data: sections of paragraphs, tables and figures. `html.py` and `markdown.py` format it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from altair import TopLevelMixin


@dataclass(frozen=True, kw_only=True)
class TextSpan:
    """Text in a paragraph: `plain`, `strong`, `emphasis` or `code`; with `href`, a link."""

    text: str
    kind: str = "plain"
    href: str = ""


RichText = Sequence[TextSpan | str]


@dataclass(frozen=True, kw_only=True)
class Paragraph:
    """`tone`: `plain`, `lead` for the main result, `note` for a restriction."""

    words: RichText
    tone: str = "plain"


@dataclass(frozen=True, kw_only=True)
class BulletList:
    """A bulleted list."""

    items: Sequence[RichText]


@dataclass(frozen=True, kw_only=True)
class CodeBlock:
    """Preformatted lines: a command or a file."""

    text: str


@dataclass(frozen=True, kw_only=True)
class TableCell:
    """`tone`: `helps`, `hurts`, `open`, `failed` or empty; `shade` in [−1, 1] sets the background colour."""

    words: RichText
    tone: str = ""
    shade: float | None = None


@dataclass(frozen=True, kw_only=True)
class TableColumn:
    """A heading; columns of numbers are aligned right."""

    name: str
    is_number: bool = True


@dataclass(frozen=True, kw_only=True)
class DocumentTable:
    """The first cell of a row is its heading. `number` (`Table 1`) is set by `Document.number_blocks`."""

    caption: RichText
    columns: Sequence[TableColumn]
    rows: Sequence[Sequence[TableCell]]
    number: str = ""

    def drop_empty_columns(self) -> "DocumentTable":
        """The table without columns that are empty or – in every row."""
        kept = [
            index for index in range(len(self.columns)) if index == 0 or any(has_text(row[index]) for row in self.rows)
        ]
        rows = [[row[index] for index in kept] for row in self.rows]
        return replace(self, columns=[self.columns[index] for index in kept], rows=rows)


@dataclass(frozen=True, kw_only=True)
class DocumentFigure:
    """A chart at any width in pixels; `name` is that of its files, `alt` the text for readers who cannot see it."""

    name: str
    caption: str
    alt: str
    draw: "Callable[[float], TopLevelMixin]"
    number: str = ""


@dataclass(frozen=True, kw_only=True)
class FoldedBlocks:
    """Blocks that are folded until a reader opens them."""

    summary: str
    blocks: Sequence["Block"]


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading with an anchor for links, and the blocks below it."""

    title: str
    anchor: str
    blocks: Sequence["Block"]


Block = Paragraph | BulletList | CodeBlock | DocumentTable | DocumentFigure | FoldedBlocks | Section


@dataclass(frozen=True, kw_only=True)
class Document:
    """A page: title, a line of facts, the answer, sections, and a last line (`colophon`)."""

    title: str
    facts: Sequence[str]
    answer: Sequence[Block]
    sections: Sequence[Section]
    colophon: RichText = field(default=())

    def figures(self) -> Iterator[DocumentFigure]:
        for block in walk_blocks([*self.answer, *self.sections]):
            if isinstance(block, DocumentFigure):
                yield block

    def number_blocks(self) -> "Document":
        """The document with numbers (`Table 1`, `Figure 1`) in order, without empty sections and columns."""
        counts = {"Table": 0, "Figure": 0}
        answer = [number_block(block, counts) for block in self.answer]
        sections = [
            replace(part, blocks=[number_block(block, counts) for block in part.blocks])
            for part in self.sections
            if part.blocks
        ]
        return replace(self, answer=answer, sections=sections)


def number_block(block: Block, counts: dict[str, int]) -> Block:
    """The block and the blocks inside it, numbered; `counts` is advanced in place."""
    match block:
        case DocumentTable():
            counts["Table"] += 1
            return replace(block.drop_empty_columns(), number=f"Table {counts['Table']}")
        case DocumentFigure():
            counts["Figure"] += 1
            return replace(block, number=f"Figure {counts['Figure']}")
        case Section() | FoldedBlocks():
            return replace(block, blocks=[number_block(inner, counts) for inner in block.blocks])
        case Paragraph() | BulletList() | CodeBlock():
            return block


def walk_blocks(blocks: Sequence[Block]) -> Iterator[Block]:
    """Every block and the blocks inside it, in order."""
    for block in blocks:
        yield block
        if isinstance(block, Section | FoldedBlocks):
            yield from walk_blocks(block.blocks)


def has_text(cell: TableCell) -> bool:
    return get_plain_text(cell.words) not in ("", "–")


def section(title: str, anchor: str, *blocks: Block | None) -> Section:
    """A section of the blocks that there are."""
    return Section(title=title, anchor=anchor, blocks=[block for block in blocks if block is not None])


def rich_text(*words: TextSpan | str) -> RichText:
    return words


def strong(text: str) -> TextSpan:
    return TextSpan(text=text, kind="strong")


def emphasis(text: str) -> TextSpan:
    return TextSpan(text=text, kind="emphasis")


def code(text: str, href: str = "") -> TextSpan:
    return TextSpan(text=text, kind="code", href=href)


def paragraph(*words: TextSpan | str, tone: str = "plain") -> Paragraph:
    return Paragraph(words=words, tone=tone)


def build_table(
    caption: str, names: Sequence[str], rows: Sequence[Sequence[TableCell]], words: Sequence[str] = ()
) -> DocumentTable:
    """A table whose first column and those in `words` hold text; the others hold numbers."""
    columns = [TableColumn(name=name, is_number=index > 0 and name not in words) for index, name in enumerate(names)]
    return DocumentTable(caption=[caption], columns=columns, rows=rows)


def cell(*words: TextSpan | str, tone: str = "", shade: float | None = None) -> TableCell:
    return TableCell(words=words, tone=tone, shade=shade)


def get_plain_text(words: RichText) -> str:
    """The text without its markup."""
    return "".join(word if isinstance(word, str) else word.text for word in words)
