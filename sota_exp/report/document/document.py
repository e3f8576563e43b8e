"""A report as data: sections of paragraphs, tables and figures. `html.py` and `markdown.py` format it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from sota_exp.report.drawing.drawing import Drawing, sheet

#: Width in pixels of a figure file with several panels.
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
    """`tone`: `plain`, `lead` for the main result, `note` for a restriction."""

    words: Words
    tone: str = "plain"


@dataclass(frozen=True, kw_only=True)
class Listing:
    """A bulleted list."""

    items: Sequence[Words]


@dataclass(frozen=True, kw_only=True)
class Code:
    """Preformatted lines: a command or a file."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Cell:
    """`tone`: `helps`, `hurts`, `open`, `failed` or empty; `shade` in [−1, 1] sets the background colour."""

    words: Words
    tone: str = ""
    shade: float | None = None


@dataclass(frozen=True, kw_only=True)
class Column:
    """A heading; columns of numbers are aligned right."""

    name: str
    is_number: bool = True


@dataclass(frozen=True, kw_only=True)
class Table:
    """The first cell of a row is its heading. `number` (`Table 1`) is set by `Document.numbered`."""

    caption: Words
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    number: str = ""

    def drop_empty_columns(self) -> "Table":
        """The table without columns that are empty or – in every row."""
        kept = [
            index for index in range(len(self.columns)) if index == 0 or any(has_text(row[index]) for row in self.rows)
        ]
        rows = [[row[index] for index in kept] for row in self.rows]
        return replace(self, columns=[self.columns[index] for index in kept], rows=rows)


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A drawing for a wide page and the same for a phone; it has a title if the figure has several panels."""

    wide: Drawing
    narrow: Drawing
    title: str = ""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """`name` is that of its files. Panels are side by side if there is room."""

    name: str
    caption: Words
    panels: Sequence[Panel]
    number: str = ""

    def on_one_paper(self) -> Drawing:
        """All panels as one drawing, for the figure's file."""
        if len(self.panels) == 1:
            return self.panels[0].wide
        return sheet([(panel.title, panel.wide) for panel in self.panels], FIGURE_WIDTH, plain(self.caption))


@dataclass(frozen=True, kw_only=True)
class Details:
    """Blocks that are folded until a reader opens them."""

    summary: str
    blocks: Sequence["Block"]


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading with an anchor for links, and the blocks below it."""

    title: str
    anchor: str
    blocks: Sequence["Block"]


Block = Paragraph | Listing | Code | Table | Figure | Details | Section


@dataclass(frozen=True, kw_only=True)
class Document:
    """A page: title, a line of facts, the answer, sections, and a last line (`colophon`)."""

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
    """Every block and the blocks inside it, in order."""
    for block in blocks:
        yield block
        if isinstance(block, Section | Details):
            yield from walk_blocks(block.blocks)


def has_text(cell: Cell) -> bool:
    return plain(cell.words) not in ("", "–")


def section(title: str, anchor: str, *blocks: Block | None) -> Section:
    """A section of the blocks that there are."""
    return Section(title=title, anchor=anchor, blocks=[block for block in blocks if block is not None])


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


def build_table(caption: str, names: Sequence[str], rows: Sequence[Sequence[Cell]], words: Sequence[str] = ()) -> Table:
    """A table whose first column and those in `words` hold text; the others hold numbers."""
    columns = [Column(name=name, is_number=index > 0 and name not in words) for index, name in enumerate(names)]
    return Table(caption=[caption], columns=columns, rows=rows)


def cell(*words: Span | str, tone: str = "", shade: float | None = None) -> Cell:
    return Cell(words=words, tone=tone, shade=shade)


def plain(words: Words) -> str:
    """The text without its markup."""
    return "".join(word if isinstance(word, str) else word.text for word in words)
