"""The catalog of all options of all groups, read from YAML files and module docstrings without importing any module."""

import ast
import functools
import importlib.util
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sota_exp.config.formats import NEUTRAL_PREFIX, load_yaml

#: Groups whose files set several choices or values, so that they are not options of one slot.
GROUPS_OF_PRESETS = ("experiment", "recipe", "scale", "runtime", "hydra", "search", "study")

#: Slot → its option without a technique, for slots that have no neutral option.
DEFAULT_OPTIONS = {
    "evaluation/resolution": "fixed",
    "loss": "cross_entropy",
    "schedule/length": "standard",
    "schedule/stepping": "step",
}


@dataclass(frozen=True, kw_only=True)
class CatalogOption:
    """One option of a group: `summary` from the first line of its YAML.

    package: the directory of the modules; None: Python finds them.
    """

    group: str
    name: str
    summary: str
    defaults: dict[str, object]
    is_neutral: bool
    target: str
    package: Path | None

    @property
    def paper(self) -> str:
        """The `Paper:` entry of its module; empty where it has none. Read when it is asked for."""
        return _read_paper(self.target, self.package)

    @property
    def is_no_technique(self) -> bool:
        """Whether the option is no technique: it does nothing, or it is the plain choice of its slot."""
        return self.is_neutral or DEFAULT_OPTIONS.get(self.group) == self.name

    @property
    def short_citation(self) -> str:
        """Short citation of the paper: authors, year and arXiv number."""
        authors_and_year = re.match(r".*?\b(?:19|20)\d\d\b", self.paper)
        number = re.search(r"\b\d{4}\.\d{4,5}\b", self.paper)
        return f"{authors_and_year[0] if authors_and_year else self.paper}{f', arXiv:{number[0]}' if number else ''}"


def load_catalog(conf: Path, package: Path, own: Iterable[Path] = ()) -> list[CatalogOption]:
    """All options below `conf`, ordered by group and name, `none` first.

    package: the directory of the modules. own: directories of the user, with further options.
    """
    places = [(conf, package), *((place, None) for place in own)]
    files = [(path, *place) for place in places for path in place[0].rglob("*.yaml") if path.parent != place[0]]
    found = [_read_option(*file) for file in files]
    return sorted(
        (option for option in found if option), key=lambda option: (option.group, option.name != "none", option.name)
    )


def _read_option(path: Path, conf: Path, package: Path | None) -> CatalogOption | None:
    group = str(path.parent.relative_to(conf))
    text = path.read_text()
    node = load_yaml(text) or {}
    if group.split("/")[0] in GROUPS_OF_PRESETS or "_target_" not in node:
        return None
    target = node.pop("_target_")
    return CatalogOption(
        group=group,
        name=path.stem,
        summary=text.splitlines()[0].lstrip("# ").rstrip("."),
        defaults=node,
        is_neutral=target.startswith(NEUTRAL_PREFIX),
        target=target,
        package=package,
    )


@functools.cache
def _read_paper(target: str, package: Path | None) -> str:
    """The `Paper:` entry of the module that contains `target`; empty where it has none."""
    name = target.rpartition(".")[0]
    if package is not None:
        module = package.parent.joinpath(*name.split(".")).with_suffix(".py")
    else:
        with suppress(ImportError, ValueError):
            spec = importlib.util.find_spec(name)
            package = Path(spec.origin) if spec is not None and spec.origin else None
        module = package or Path()
    if not module.is_file():
        return ""
    documentation = ast.get_docstring(ast.parse(module.read_text())) or ""
    found = re.search(r"^Paper: (.*(?:\n(?!\w+:).+)*)", documentation, re.MULTILINE)
    return " ".join(found[1].split()) if found else ""
