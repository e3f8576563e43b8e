"""A report as data: sections of paragraphs, tables and figures. `html.py` and `markdown.py` write the same one down."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from sota_exp.report.drawing.drawing import Drawing, sheet

#: Pixels of the paper on which a figure's panels are put together.
FIGURE_WIDTH = 900.0


@dataclass(frozen=True, kw_only=True)
class Span:
    """Text in a paragraph: `plain`, `strong`, `emphasis` or `code`; with `href`, a link."""

    text: str
    kind: str = "plain"
    href: str = ""


Words = Sequence[Span | str]


@dataclass(frozen=True, kw_only=True)
class Paragraph:
    """`tone`: plain, `lead` for the answer in words, `note` for what qualifies."""

    words: Words
    tone: str = "plain"


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Points, one below the other."""

    items: Sequence[Words]


@dataclass(frozen=True, kw_only=True)
class Code:
    """Lines as they are typed or stored."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Cell:
    """`tone`: helps, hurts, open, failed or nothing; `shade` in [−1, 1] colours it, below zero like `hurts`."""

    words: Words
    tone: str = ""
    shade: float | None = None


@dataclass(frozen=True, kw_only=True)
class Column:
    """A heading; numbers stand to the right."""

    name: str
    is_number: bool = True


@dataclass(frozen=True, kw_only=True)
class Table:
    """The first cell of a row heads it. `number` is given when the document is whole."""

    caption: Words
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    number: str = ""

    def drop_empty_columns(self) -> "Table":
        """Without columns that say – in every row."""
        kept = [
            index for index in range(len(self.columns)) if index == 0 or any(has_text(row[index]) for row in self.rows)
        ]
        rows = [[row[index] for index in kept] for row in self.rows]
        return replace(self, columns=[self.columns[index] for index in kept], rows=rows)


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One drawing for wide paper and the same for a phone; a title where there are several to a figure."""

    wide: Drawing
    narrow: Drawing
    title: str = ""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """`name` is that of its files. Panels stand beside each other where there is room."""

    name: str
    caption: Words
    panels: Sequence[Panel]
    number: str = ""

    def on_one_paper(self) -> Drawing:
        """What a file of it shows."""
        if len(self.panels) == 1:
            return self.panels[0].wide
        return sheet([(panel.title, panel.wide) for panel in self.panels], FIGURE_WIDTH, plain(self.caption))


@dataclass(frozen=True, kw_only=True)
class Details:
    """What is folded away until it is asked for."""

    summary: str
    blocks: Sequence["Block"]


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading, with an anchor that links can name, and what it is above."""

    title: str
    anchor: str
    blocks: Sequence["Block"]


Block = Paragraph | Listing | Code | Table | Figure | Details | Section


@dataclass(frozen=True, kw_only=True)
class Document:
    """A page: its title, a line of facts, the answer, and sections."""

    title: str
    facts: Sequence[str]
    answer: Sequence[Block]
    sections: Sequence[Section]
    colophon: Words = field(default=())

    def figures(self) -> Iterator[Figure]:
        for block in walk_blocks([*self.answer, *self.sections]):
            if isinstance(block, Figure):
                yield block

    def numbered(self) -> "Document":
        """As it is shown: `Table 1`, `Figure 1` and so on in their order, tables without empty columns."""
        counts = {"Table": 0, "Figure": 0}
        answer = [number_block(block, counts) for block in self.answer]
        sections = [
            replace(part, blocks=[number_block(block, counts) for block in part.blocks]) for part in self.sections
        ]
        return replace(self, answer=answer, sections=sections)


def number_block(block: Block, counts: dict[str, int]) -> Block:
    """The block, and what is inside it, numbered on from `counts`."""
    match block:
        case Table():
            counts["Table"] += 1
            return replace(block.drop_empty_columns(), number=f"Table {counts['Table']}")
        case Figure():
            counts["Figure"] += 1
            return replace(block, number=f"Figure {counts['Figure']}")
        case Section() | Details():
            return replace(block, blocks=[number_block(inner, counts) for inner in block.blocks])
        case Paragraph() | Listing() | Code():
            return block


def walk_blocks(blocks: Sequence[Block]) -> Iterator[Block]:
    """Every block and what is inside it, in order."""
    for block in blocks:
        yield block
        if isinstance(block, Section | Details):
            yield from walk_blocks(block.blocks)


def has_text(cell: Cell) -> bool:
    return plain(cell.words) not in ("", "–")


def phrase(*words: Span | str) -> Words:
    return words


def strong(text: str) -> Span:
    return Span(text=text, kind="strong")


def emphasis(text: str) -> Span:
    return Span(text=text, kind="emphasis")


def code(text: str, href: str = "") -> Span:
    return Span(text=text, kind="code", href=href)


def paragraph(*words: Span | str, tone: str = "plain") -> Paragraph:
    return Paragraph(words=words, tone=tone)


def cell(*words: Span | str, tone: str = "", shade: float | None = None) -> Cell:
    return Cell(words=words, tone=tone, shade=shade)


def plain(words: Words) -> str:
    """The text alone."""
    return "".join(word if isinstance(word, str) else word.text for word in words)
