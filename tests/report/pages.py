"""Parses a page: tables as text and as CSV, ids, links; fails on elements that are not closed."""

import csv
import io
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import unquote

VOID = {"meta", "link", "br", "wbr", "img", "hr", "input"}


@dataclass(kw_only=True)
class Table:
    """Caption, headings, and rows of cells."""

    caption: str = ""
    heads: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)

    def column(self, name: str) -> list[str]:
        at = next(index for index, head in enumerate(self.heads) if head.startswith(name))
        return [row[at] for row in self.rows]


class Page(HTMLParser):
    """Parses a whole page; fails on elements that are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tables: list[Table] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.files: list[list[list[str]]] = []
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.attributes.append((tag, found))
        if found.get("id"):
            self.ids.append(str(found["id"]))
        if tag == "a" and found.get("class") != "csv":
            self.links.append(str(found["href"]))
        if found.get("class") == "csv":
            head, _, content = str(found["href"]).partition(",")
            assert head == "data:text/csv;charset=utf-8"
            self.files.append(list(csv.reader(io.StringIO(unquote(content)))))
        if tag == "table":
            self.tables.append(Table())
        if tag == "tr" and "tbody" in self.open:
            self.tables[-1].rows.append([])
        if tag in ("td", "th"):
            cells = self.tables[-1].rows[-1] if "tbody" in self.open else self.tables[-1].heads
            cells.append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if "caption" in self.open:
            self.tables[-1].caption += data.removesuffix("CSV")
        elif {"td", "th"} & set(self.open):
            cells = self.tables[-1].rows[-1] if "tbody" in self.open else self.tables[-1].heads
            cells[-1] += data
        if not {"style", "script"} & set(self.open):
            self.words.append(data)

    @property
    def text(self) -> str:
        return "".join(self.words)


def markdown_tables(text: str) -> list[list[list[str]]]:
    """The rows of every table in Markdown, without headings and backslashes."""
    tables: list[list[list[str]]] = []
    before = ""
    for line in text.splitlines():
        if line.startswith("| "):
            if not before.startswith("|"):
                tables.append([])
            cells = line.replace("\\|", "\0")[2:-2].split(" | ")
            tables[-1].append([bare(cell) for cell in cells])
        before = line
    return [table[2:] for table in tables]


def bare(text: str) -> str:
    import re

    return re.sub(r"\\([\\`*_\[\]<>|&~$])", r"\1", text.replace("\0", "|")).strip("`").strip()
