"""What there is to choose: every option of every group, read from its YAML and its module without importing either."""

import ast
import functools
import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from sota_exp.config.formats import NEUTRAL

#: Groups whose files are sets of choices or of values, not options of one slot.
SETS = ("recipe", "scale", "runtime", "hydra", "search", "study")

#: What is done where no technique is chosen, in slots that must do something.
PLAIN = {
    "evaluation/resolution": "fixed",
    "loss": "cross_entropy",
    "schedule/length": "standard",
    "schedule/stepping": "step",
}


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option of a group, in the words of its YAML's first line and of its module."""

    group: str
    name: str
    summary: str
    paper: str
    defaults: dict[str, object]
    is_neutral: bool
    target: str

    @property
    def is_plain(self) -> bool:
        """Is it what training is without a technique: does it do nothing, or only what must be done somehow?"""
        return self.is_neutral or PLAIN.get(self.group) == self.name

    @property
    def cited(self) -> str:
        """Authors, year and the arXiv number of the paper; the title stays in the module."""
        head = re.match(r".*?\b(?:19|20)\d\d\b", self.paper)
        number = re.search(r"\b\d{4}\.\d{4,5}\b", self.paper)
        return f"{head[0] if head else self.paper}{f', arXiv:{number[0]}' if number else ''}"


def options(conf: Path, package: Path) -> list[Option]:
    """Every option below `conf`, ordered by group and name, `none` first."""
    files = [path for path in conf.rglob("*.yaml") if path.parent != conf]
    found = [_option(path, conf, package) for path in files]
    return sorted(
        (option for option in found if option), key=lambda option: (option.group, option.name != "none", option.name)
    )


def _option(path: Path, conf: Path, package: Path) -> Option | None:
    group = str(path.parent.relative_to(conf))
    text = path.read_text()
    node = yaml.safe_load(text) or {}
    if group.split("/")[0] in SETS or "_target_" not in node:
        return None
    summary = text.splitlines()[0].lstrip("# ").rstrip(".")
    defaults = {name: value for name, value in node.items() if name != "_target_"}
    return Option(
        group=group,
        name=path.stem,
        summary=summary,
        paper=_paper(node["_target_"], package),
        defaults=defaults,
        is_neutral=node["_target_"].startswith(NEUTRAL),
        target=node["_target_"],
    )


def _paper(target: str, package: Path) -> str:
    """The `Paper:` line of the module that holds `target`; empty where it has none."""
    module = package.parent.joinpath(*target.split(".")[:-1]).with_suffix(".py")
    return _paper_of(module) if module.exists() else ""


@functools.cache
def _paper_of(module: Path) -> str:
    documentation = ast.get_docstring(ast.parse(module.read_text())) or ""
    found = re.search(r"^Paper: (.*(?:\n(?!\w+:).+)*)", documentation, re.MULTILINE)
    return " ".join(found[1].split()) if found else ""
