"""A report on disk: one Markdown text, from a template, and the page that a Markdown library makes of it."""

import csv
import html
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from sota_exp.errors import RunFailed
from sota_exp.report import numbers
from sota_exp.report.document.markdown import Code, Emphasis, Strong, Table, escape_markdown, format_block, format_table
from sota_exp.report.drawing.chart import (
    NARROW,
    Figure,
    build_script,
    format_ink_css,
    format_live_specification,
    write_png,
    write_svg,
)
from sota_exp.runs.atomic import write_recomputable_text

ROOM = Path(__file__).parent.parent

#: Every value that a template shows is escaped, and an unknown name is an error.
TEMPLATES = Environment(
    loader=FileSystemLoader(ROOM),
    autoescape=True,
    finalize=escape_markdown,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters |= {"code": Code, "strong": Strong, "emphasis": Emphasis, "block": format_block}
TEMPLATES.globals["numbers"] = numbers
TEMPLATES.filters |= {"counted": numbers.format_count, "joined": numbers.join_with_and}

#: The page around the text; its parts are HTML already.
PAGES = Environment(loader=FileSystemLoader(ROOM), autoescape=True, undefined=StrictUndefined)

#: What the page has beyond Markdown: captions, scrolling tables, headings of rows, signs of verdicts, folds, and breaks
#: of keys at their slashes and dots.
#: No value of a report can match: in it, every < is escaped.
PAGE_RULES = [
    (r'style="text-align:right"', 'class="number"'),
    (r"<th(?=[ >])", '<th scope="col"'),
    (r'(<th scope="col"[^>]*>)([^<].*?)</th>', r"\1<span>\2</span></th>"),
    (r"<tr>\n<td(.*?)>(.*?)</td>", r'<tr>\n<th scope="row"\1>\2</th>'),
    (r"<td>([▲▼○✕]) (\w+)", r'<td class="verdict \2"><span class="sign" aria-hidden="true">\1</span> \2'),
    (
        r"<p>(<strong>(Table \d+)\.</strong>[^\n]*)</p>\n<table>",
        r'<div class="scroll" role="region" tabindex="0" aria-label="\2"><table><caption>\1 [\2]</caption>',
    ),
    (r"</table>", "</table></div>"),
    (r'<th scope="col"( class="number")?></th>', "<td></td>"),
    (r"(?<=[a-z])([/.=])(?=[a-z][^<>]*</code></t[hd]>)", r"\1<wbr>"),
    (r"<h3>(.*?)</h3>(.*?)(?=<h[23]|<hr|\Z)", r"<details><summary>\1</summary>\2</details>"),
]

FIGURE = re.compile(r'<p><img src="figures/(\w+)\.svg"[^>]*></p>\n<p>(<strong>Figure \d+\.</strong>[^\n]*)</p>')


@dataclass(frozen=True, kw_only=True)
class WrittenReport:
    """The written files (HTML first, Markdown second), and the paragraphs of the answer as plain text."""

    paths: list[Path]
    answer: list[str]


def write_report(directory: Path, template: str, **values: Any) -> WrittenReport:
    """Write `report.html`, `report.md`, `figures/NAME.svg` and `figures/NAME.png`.

    Raises:
        RunFailed: the directory cannot be written.
    """
    found = render_markdown(template, **values)
    page, markdown, folder = directory / "report.html", directory / "report.md", directory / "figures"
    try:
        folder.mkdir(exist_ok=True)
        for figure in found.figures:
            write_svg(figure.wide, folder / f"{figure.name}.svg")
            write_png(figure.wide, folder / f"{figure.name}.png")
        write_recomputable_text(markdown, found.text)
        write_recomputable_text(page, render_page(found))
    except OSError as error:
        raise RunFailed(f"no report can be written: {error}; check permissions and free space") from error
    pictures = [folder / f"{figure.name}.{kind}" for figure in found.figures for kind in ("svg", "png")]
    answer = re.findall("<p>(.*?)</p>", to_html(found.text.partition("\n## ")[0]), re.DOTALL)[1:]
    return WrittenReport(paths=[page, markdown, *pictures], answer=[Markup(each).striptags() for each in answer])


@dataclass(frozen=True, kw_only=True)
class RenderedText:
    """The Markdown of a report, its figures, and its tables in the order of their numbers."""

    text: str
    figures: Sequence[Figure]
    tables: Sequence[Table]


def render_markdown(template: str, **values: Any) -> RenderedText:
    """The text of a report, with numbered tables and figures; templates give them a caption, as an argument or a block.

    What has no content is left out: a section without text, a table without rows, a figure that is None.
    """
    figures: list[Figure] = []
    tables: list[Table] = []

    def show_section(title: str, caller: Callable[[], str]) -> Markup:
        body = caller().strip()
        return Markup(f"\n\n## {escape_markdown(title)}\n\n{body}\n\n") if body else Markup()

    def show_table(table: Table | None, caption: str = "", caller: Callable[[], str] | None = None) -> Markup:
        if not table or not table.rows or len(table.drop_empty_columns().names) == 1:
            return Markup()
        tables.append(table)
        words = format_caption("Table", len(tables), caller() if caller else escape_markdown(caption))
        return Markup(f"\n\n{words}\n\n{format_table(table)}\n\n")

    def show_figure(figure: Figure | None, caption: str = "", caller: Callable[[], str] | None = None) -> Markup:
        if figure is None:
            return Markup()
        figures.append(figure)
        picture = f"![{escape_markdown(figure.alt)}](figures/{figure.name}.svg)"
        words = f"{caller() if caller else escape_markdown(caption)} {escape_markdown(figure.note)}"
        return Markup(f"\n\n{picture}\n\n{format_caption('Figure', len(figures), words)}\n\n")

    calls = {"section": show_section, "table": show_table, "figure": show_figure}
    text = TEMPLATES.get_template(template).render(calls | values)
    text = re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"
    return RenderedText(text=text, figures=figures, tables=tables)


def format_caption(kind: str, number: int, text: str) -> Markup:
    """One line. text: Markdown."""
    return Markup(f"**{kind} {number}.** " + re.sub(r"[ \n]*\n[ \n]*", " ", text.strip()))


def render_page(rendered: RenderedText) -> str:
    """The report as one self-contained HTML file, without network: styles, drawings and scripts are inline."""
    body, figures = to_html(rendered.text), {figure.name: figure for figure in rendered.figures}
    for pattern, replacement in PAGE_RULES:
        body = re.sub(pattern, replacement, body, flags=re.DOTALL)
    body, contents = add_anchors(body)
    body = re.sub(FIGURE, lambda at: format_figure(figures[at[1]], at[2]), body)
    body = re.sub(r"\[Table (\d+)\](?=</caption>)", lambda at: format_csv_link(int(at[1]), rendered.tables), body)
    body, _, colophon = body.rpartition("<hr />\n")
    parts = re.fullmatch(r"(<h1>(.*?)</h1>\n<p>.*?</p>)(.*?)((?:<h2.*)?)", body, re.DOTALL)
    assert parts is not None, "a report begins with its title and its facts"
    style = format_ink_css() + (ROOM / "document" / "page.css").read_text()
    found = dict(zip(("head", "title", "answer", "sections"), map(Markup, parts.groups()), strict=True))
    scripts = [*([build_script()] if figures else []), (ROOM / "document" / "page.js").read_text()]
    found |= {"style": Markup(style), "colophon": Markup(colophon)}
    page = PAGES.get_template("document/page.html.jinja")
    return page.render(contents=contents, scripts=list(map(Markup, scripts)), **found)


def format_figure(figure: Figure, caption: str) -> str:
    """The SVG for a desktop and that for a phone, of which the style sheet shows one, and what the script draws."""
    data = f'<script type="application/json">{format_live_specification(figure.tree, figure.note)}</script>'
    return f"<figure>{figure.wide}{figure.to_svg(NARROW, 'narrow')}{data}<figcaption>{caption}</figcaption></figure>"


def format_csv_link(number: int, tables: Sequence[Table]) -> str:
    """A link to the content of a table as a file, which is in the link itself."""
    text, table = io.StringIO(), tables[number - 1]
    csv.writer(text, lineterminator="\n").writerows(zip(*table.list_plain_columns(), strict=True))
    place = f"data:text/csv;charset=utf-8,{quote(text.getvalue())}"
    return f'<a class="csv" download="table-{number}.csv" href="{place}" aria-label="Table {number} as CSV">CSV</a>'


def to_html(text: str) -> str:
    """The HTML of Markdown; HTML in it is shown as text."""
    return MarkdownIt("commonmark", {"html": False}).enable("table").render(text)


def add_anchors(body: str) -> tuple[str, list[tuple[str, Markup]]]:
    """The page with an anchor at each section, and the anchors with their titles."""
    contents = [(slug(title), Markup(title)) for title in re.findall("<h2>(.*?)</h2>", body)]
    for anchor, title in contents:
        body = body.replace(f"<h2>{title}</h2>", f'<h2 id="{anchor}">{title}</h2>')
    return body, contents


def slug(title: str) -> str:
    return re.sub(r"\W+", "-", html.unescape(title).lower()).strip("-")
