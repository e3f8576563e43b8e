"""The generated parts of the documentation: pages of techniques, tables of keys, presets and commands, as Markdown."""

import ast
import io
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path

from keys import VALUE_FILES, Key, merge, read_header, read_option, read_slots, read_values
from measured import describe_technique
from slots import list_stages

from sota_exp import CONF, PACKAGE
from sota_exp.cli.main import COMMANDS, run_command_line
from sota_exp.config.catalog import CatalogOption
from sota_exp.runs.result_json import build_empty_result

DOCS = PACKAGE.parent / "docs"

#: Folders of presets that a user chooses by name, and what they are.
PRESETS = {
    "recipe": "Recipes",
    "scale": "Scales",
    "study": "Studies",
    "search": "Searches",
    "runtime": "Runtimes",
    "experiment": "Example experiments",
}


@dataclass(frozen=True, kw_only=True)
class Technique:
    """A row of the table in docs/techniques.md: its name, the overrides that turn it on, and those that turn it off."""

    name: str
    on: tuple[str, ...]
    off: tuple[str, ...]

    @property
    def slug(self) -> str:
        """The name of its page."""
        return re.sub(r"\W+", "-", self.name.lower()).strip("-")

    @property
    def slot(self) -> str:
        """The group that the first override chooses an option of."""
        return self.on[0].partition("=")[0]


def read_techniques() -> list[Technique]:
    """The techniques in the order of their table."""
    lines = (DOCS / "techniques.md").read_text().split("| technique | on | off |")[1].splitlines()
    table = list(take_rows(lines[2:]))
    return [
        Technique(name=name, on=find_overrides(on), off=find_overrides(off, find_overrides(on)[0]))
        for name, on, off in table
    ]


def take_rows(lines: Iterable[str]) -> Iterator[list[str]]:
    """The cells of the rows at the beginning of `lines`."""
    for line in lines:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in line.strip("|").split("|")]


def find_overrides(cell: str, before: str = "") -> tuple[str, ...]:
    """The overrides in a cell; `=option` is of the group of the one before it."""
    found = [before]
    for word in re.findall(r"`([^`]+)`", cell):
        found.append(f"{found[-1].partition('=')[0]}{word}" if word.startswith("=") else word)
    return tuple(found[1:])


def read_notes() -> dict[str, str]:
    """Technique → what docs/techniques/notes.md says of it."""
    parts = re.split(r"^## (.*)$", (DOCS / "techniques/notes.md").read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], map(str.strip, parts[2::2]), strict=True))


def build_technique_page(technique: Technique) -> str:
    """The page of a technique."""
    options = read_slots().get(technique.slot, [])
    chosen = [option for option in options if f"{option.group}={option.name}" in technique.on]
    off = f"\nOff: {join_code(technique.off)}." if technique.off else ""
    parts = [f"# {technique.name}", f"On: {join_code(technique.on)}.{off}"]
    parts += [build_picture(technique)] if (DOCS / f"images/techniques/{technique.slug}.png").exists() else []
    when, _, more = read_notes()[technique.name].partition("\n\n")
    parts += [text for text in (when, describe_technique(technique.slug), more) if text]
    parts += [part for option in chosen for part in build_option(option, len(chosen) > 1)] or build_presets(technique)
    if options:
        keys = merge([key for option in options for key in read_option(option)])
        others = [f"`{option.name}`: {escape(option.summary)}." for option in options if option not in chosen]
        parts += [f"## Options of `{technique.slot}`", *([bullets(others)] if others else [])]
        parts += [build_key_table(keys)] if keys else []
        words = f"sota-exp ablate study=one_slot study.slot={technique.slot}"
        parts += [f"## Measure it on your data\n\n```console\n$ {words} --plan\n$ {words}\n```"]
    return "\n\n".join(parts) + "\n"


def build_picture(technique: Technique) -> str:
    """The picture that `sota-exp look` draws of it."""
    words = " ".join(technique.on[:1])
    return f"![Images before and after {technique.name}](../images/techniques/{technique.slug}.png)\n\n*Drawn by `sota-exp look {words}`.*"


def build_option(option: CatalogOption, is_one_of_several: bool) -> list[str]:
    """What an option does: the docstring of its module."""
    module = PACKAGE.parent.joinpath(*option.target.split(".")[:-1]).with_suffix(".py")
    text = ast.get_docstring(ast.parse(module.read_text())) or ""
    heading = f"## What `{option.name}` does" if is_one_of_several else "## What it does"
    if option.is_neutral:
        return [heading, f"{escape(option.summary)}."]
    return [heading, format_docstring(text)]


def build_presets(technique: Technique) -> list[str]:
    """What a group of slots is set to, where a technique is several options at once."""
    group, _, name = technique.on[0].partition("=")
    path = CONF / group / f"{name}.yaml"
    return [f"## What `{technique.on[0]}` chooses", f"```yaml\n{path.read_text().strip()}\n```"]


def format_docstring(text: str) -> str:
    """A docstring of a technique as Markdown: formulas are set as they are, `Paper:` and `Setting:` get headings."""
    parts: list[str] = []
    for paragraph in re.split(r"\n\n|\n(?=(?:Paper|Setting): )", text):
        if re.match(r"    ", paragraph):
            parts.append(
                "``` { .text .wrapped }\n"
                + "\n".join(line.removeprefix("    ") for line in paragraph.splitlines())
                + "\n```"
            )
        else:
            parts.append(re.sub(r"^(Paper|Setting):", r"**\1.**", escape(" ".join(paragraph.split()))))
    return "\n\n".join(link_papers(part) if part.startswith("**Paper") else part for part in parts)


def link_papers(text: str) -> str:
    """Numbers of arXiv as links."""
    return re.sub(r"\b(\d{4}\.\d{4,5})\b", r"[\1](https://arxiv.org/abs/\1)", text)


def escape(text: str) -> str:
    """Text in which Markdown finds nothing; what stands in backticks stays code."""
    pieces = re.split(r"(`[^`]*`)", text)
    return "".join(piece if piece.startswith("`") else re.sub(r"([\\*_<>\[\]|#])", r"\\\1", piece) for piece in pieces)


def escape_cell(text: str) -> str:
    """Text for a cell of a table."""
    return escape(text).replace("`|`", "or")


def join_code(words: Sequence[str]) -> str:
    """Words as code, with commas."""
    return ", ".join(f"`{word}`" for word in words)


def bullets(lines: Sequence[str]) -> str:
    """A list."""
    return "\n".join(f"- {line}" for line in lines)


def build_key_table(keys: Sequence[Key]) -> str:
    """A table of keys; columns in which nothing stands are left out."""
    columns = {
        "key": [f"`{key.name}`" for key in keys],
        "of": [join_code(key.options) for key in keys],
        "default": [f"`{key.default}`" if key.default else "" for key in keys],
        "legal": [escape_cell(key.legal) for key in keys],
        "meaning": [escape_cell(key.meaning) for key in keys],
    }
    shown = {name: cells for name, cells in columns.items() if any(cells)}
    rows = [" | ".join(cells) for cells in zip(*shown.values(), strict=True)]
    head = f"| {' | '.join(shown)} |\n|{'---|' * len(shown)}"
    return "\n".join([head, *(f"| {row} |" for row in rows)])


def build_keys() -> str:
    """Every key: values first, then slot after slot."""
    parts = []
    for file, prefix, cls in VALUE_FILES:
        heading = f"`{prefix}`" if prefix else Path(file).parent.name or "General"
        if prefix.endswith("pruner"):
            heading = f"`hydra/sweeper/pruner={Path(file).stem}`"
        parts.append((heading, read_header(CONF / file)[:1], read_values(file, prefix, cls)))
    for slot, options in read_slots().items():
        known = [f"{escape(option.summary)}: `{slot}={option.name}`" for option in options]
        parts.append((f"`{slot}`", [bullets(known)], merge([key for option in options for key in read_option(option)])))
    blocks = []
    for heading, lines, keys in parts:
        blocks += [f"## {heading}", *(line if line.startswith("- ") else escape(line) for line in lines)]
        blocks += [build_key_table(keys)] if keys else []
    return "\n\n".join(blocks)


def build_slots() -> str:
    """A table of the abstract classes of all slots, with the methods that an option needs."""
    rows = []
    for slots, cls, methods in list_stages():
        told = [f"`{signature}` {escape_cell(words)}" for signature, words in methods.items()]
        rows.append(f"| {join_code(slots)} | `{cls.module}.{cls.name}` | {'<br>'.join(told) or 'its fields alone'} |")
    return "\n".join(["| slot | abstract class | what to write |", "|---|---|---|", *rows])


def build_preset_list() -> str:
    """Recipes, scales, studies and so on with the comments at the head of their files."""
    blocks = []
    for folder, title in PRESETS.items():
        blocks.append(f"## {title}")
        for path in sorted((CONF / folder).glob("*.yaml")):
            entries = re.split(r"\n(?=(?:Paper|Cost|Expected|Command): )", "\n".join(read_header(path)))
            texts = [" ".join(entry.split()) for entry in entries]
            lines = [escape(text) if not text.startswith("Command: ") else f"`{text[9:]}`" for text in texts]
            blocks.append(f"### `{folder}={path.stem}`\n\n" + "  \n".join(lines))
    return "\n\n".join(blocks)


def build_commands() -> str:
    """The help of every command."""
    blocks = []
    for name, summary in COMMANDS.items():
        blocks.append(f"## sota-exp {name}\n\n{escape(summary).capitalize()}.\n\n```text\n{read_help(name)}\n```")
    return "\n\n".join(blocks)


def read_help(command: str) -> str:
    """What `sota-exp COMMAND --help` prints."""
    known, sys.argv = sys.argv, ["sota-exp"]
    try:
        with redirect_stdout(io.StringIO()) as out, suppress(SystemExit):
            run_command_line([command, "--help"])
    finally:
        sys.argv = known
    return out.getvalue().strip()


def build_run_files() -> str:
    """The files in a run's directory."""
    text = ast.get_docstring(ast.parse((PACKAGE / "runs/files.py").read_text())) or ""
    rows = re.findall(r"(\S+(?:, \S+)?) {2,}(.+?)(?= {2,}|$)", text.split("\n\n", 1)[1], re.MULTILINE)
    return "\n".join(["| file | content |", "|---|---|", *(f"| `{name}` | {escape(what)} |" for name, what in rows)])


def list_result_keys() -> str:
    """The keys of `result.json`."""
    return join_code(list(build_empty_result(0, {}, ("", ""))))


#: Word in `<!-- generated: WORD -->` of a page → what takes its place, and that of the sentence before it.
GENERATED = {
    "keys": build_keys,
    "slots": build_slots,
    "presets": build_preset_list,
    "commands": build_commands,
    "run files": build_run_files,
    "result keys": list_result_keys,
}


def expand(text: str) -> str:
    """The text of a page with its generated parts."""
    return re.sub(
        r"(?:_`make docs` fills this in\._ )?<!-- generated: (.+?) -->", lambda found: GENERATED[found[1]](), text
    )
