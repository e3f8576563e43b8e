"""Words and tables as Markdown, in which no value can become markup.

Words are strings: plain, or of a class that says how they are set, so that a terminal prints them as they are.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

#: Characters with a meaning in Markdown or HTML, at the beginning of a line or anywhere.
SPECIAL = re.compile(r"[\\`*\[\]<>|&~$]|(?<!\w)_|_(?!\w)|^[-+#=](?=[-\s#=]|$)|(?<=^\d)[.)](?=\s)|(?<=^\d\d)[.)](?=\s)")


class Strong(str):
    """Words in bold type."""


class Emphasis(str):
    """Words in italics: a name."""


class Code(str):
    """A command, a file, a key or a value."""


def escape_markdown(words: object) -> Markup:
    """The words as Markdown that shows them letter by letter; Markdown of our own (`Markup`) stays."""
    if isinstance(words, Markup):
        return words
    text = re.sub(r"\s*[\r\n]\s*", " ", str(words))
    if isinstance(words, Code):
        return format_code(text)
    mark = "**" if isinstance(words, Strong) else "*" if isinstance(words, Emphasis) else ""
    inner = SPECIAL.sub(r"\\\g<0>", text)
    # Marks with a space inside them are no marks.
    return Markup(re.sub(r"^(\s*)(.+?)(\s*)$", lambda found: f"{found[1]}{mark}{found[2]}{mark}{found[3]}", inner))


def make_fence(text: str) -> str:
    """More backticks than the text has in a row."""
    return "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)


def format_code(text: str) -> Markup:
    fence = make_fence(text)
    space = " " if "`" in text or not text.strip() else ""
    return Markup(f"{fence}{space}{text}{space}{fence}")


def format_block(text: str) -> Markup:
    """Lines of a command or a file."""
    fence = make_fence(text).ljust(3, "`")
    return Markup(f"{fence}\n{text.rstrip()}\n{fence}")


def hide_home(text: str) -> str:
    """The text with ~ instead of the home folder, whose name may be that of a person."""
    home = str(Path.home())
    return text.replace(f"{home}/", "~/") if home != "/" else text


def link(words: str, place: str) -> Markup:
    """place: a path in which special characters are quoted."""
    return Markup(f"[{escape_markdown(words)}]({place})")


#: A number or an interval as a table shows it, with its unit, or the star of one that is shown.
QUANTITY = re.compile(r"([-+]?\d[\d,.]*(?:e[-+]?\d+)?(?: to [-+]?[\d,.]+)?)(?: (%|px|s|MiB|[kMGTPE]?(?:FLOPs)?)|\*)?")

#: How a page shows what a program reads otherwise.
PLAIN = {0x2212: "-", 0xA0: " ", 0x202F: " "}


def to_plain(words: str) -> str:
    """A cell for a program: ASCII minus, plain spaces, no sign of a verdict, links as their words; "" if unknown."""
    text = re.sub(r"\[(.*?)\]\([^)]*\)", r"\1", words).replace("`", "") if isinstance(words, Markup) else words
    return re.sub("^([▲▼△▽○✕] |–$)", "", text).translate(PLAIN)


#: By name of a column: the text of an item.
Columns = Mapping[str, Callable[[Any], str]]


@dataclass(frozen=True)
class Table:
    """The first cell of a row is its heading. `texts`: names of columns that hold no numbers, beside the first."""

    names: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: Collection[str] = ()

    @classmethod
    def of(cls, items: Iterable[Any], columns: Columns, texts: Collection[str] = ()) -> "Table":
        """A row per item."""
        return cls(list(columns), [[show(item) for show in columns.values()] for item in items], texts)

    def is_number(self, index: int) -> bool:
        return index > 0 and self.names[index] not in self.texts

    def select(self, columns: Sequence[int]) -> "Table":
        """The table with some of its columns."""
        return Table([self.names[at] for at in columns], [[row[at] for at in columns] for row in self.rows], self.texts)

    def list_plain_columns(self) -> Iterator[list[str]]:
        """The columns below their headings for programs; the heading has the unit that all numbers of a column have."""
        for index, name in enumerate(self.names):
            cells = [to_plain(row[index]) for row in self.rows]
            found = [QUANTITY.fullmatch(cell) for cell in cells if cell and self.is_number(index)]
            units = {each and (each[2] or "") for each in found}
            unit = units.pop() if len(units) == 1 else None
            if unit is not None:
                cells = [QUANTITY.sub(r"\1", cell).replace(",", "") for cell in cells]
            yield [", ".join(filter(None, [to_plain(name), unit])), *cells]

    def drop_empty_columns(self) -> "Table":
        """The table without columns that are empty or – in every row."""
        kept = (at == 0 or any(row[at] not in ("", "–") for row in self.rows) for at in range(len(self.names)))
        return self.select([at for at, is_kept in enumerate(kept) if is_kept])


def format_table(table: Table) -> Markup:
    found = table.drop_empty_columns()
    marks = [Markup("---:" if found.is_number(index) else "---") for index in range(len(found.names))]
    lines = [found.names, marks, *found.rows]
    return Markup("\n").join(Markup(f"| {' | '.join(map(format_cell, line))} |") for line in lines)


def format_cell(words: str) -> str:
    """The words as Markdown; a bar in code would end the cell."""
    return re.sub(r"(?<!\\)\|", r"\\|", escape_markdown(words))
