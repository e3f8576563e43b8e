"""The options of a tree, read from its files alone, and which of the four touches of a technique are missing."""

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sota_exp.cli.technique_template import PLACEHOLDERS
from sota_exp.config.formats import load_yaml

ROOT = Path(__file__).resolve().parents[1]

#: Folders of conf/ that hold no stage: presets and values, or Hydra's own.
VALUES = ("hydra", "recipe", "runtime", "scale", "search", "study")


@dataclass(frozen=True, order=True, kw_only=True)
class Option:
    """`slot=name`, and the class it builds."""

    slot: str
    name: str
    target: str

    def __str__(self) -> str:
        return f"{self.slot}={self.name}"

    @property
    def is_neutral(self) -> bool:
        """Whether it is one of the neutral classes beside the stages, which have no module of their own."""
        return self.target.startswith("sota_exp.stages.")


def folder_of(slot: str) -> str:
    """Where the modules of a slot lie below the package: sources of data and trackers in rooms of their own."""
    return slot if slot.split("/")[0] in ("data", "tracking") else f"techniques/{slot}"


def options(root: Path = ROOT) -> list[Option]:
    """Every file of conf/ with a `_target_`, Hydra's own groups left out."""
    found = []
    for path in sorted((root / "conf").rglob("*.yaml")):
        slot = str(path.parent.relative_to(root / "conf"))
        if slot.split("/")[0] in VALUES or slot == ".":
            continue
        node = yaml_of(path.read_text())
        if "_target_" in node:
            found.append(Option(slot=slot, name=path.stem, target=node["_target_"]))
    return found


@cache
def yaml_of(text: str) -> dict[str, Any]:
    """The content of a file of conf/; many tests read the same. Not to be changed."""
    return load_yaml(text) or {}


@cache
def tree_of(text: str) -> ast.Module:
    """The tree of a module; many tests read the same. Not to be changed."""
    return ast.parse(text)


def presets(root: Path = ROOT) -> list[tuple[str, str]]:
    """(group, name) of every file of conf/ that only chooses or sets: presets, recipes, scales, runtimes."""
    stages = {(option.slot, option.name) for option in options(root)}
    paths = [path for path in (root / "conf").rglob("*.yaml") if path.parent != root / "conf"]
    found = {(str(path.parent.relative_to(root / "conf")), path.stem) for path in paths} - stages
    return sorted(
        (group, name) for group, name in found if group.split("/")[0] not in ("hydra", "search", "study", "experiment")
    )


def missing_touches(root: Path) -> list[str]:
    """`path: what is missing there` for every touch of every technique that a tree lacks."""
    found = options(root)
    missing = [*_without_module_or_test(root, found), *_without_row(root, found), *_without_yaml(root, found)]
    return sorted([*missing, *_unwritten(root, found)])


def _unwritten(root: Path, found: list[Option]) -> list[str]:
    """Touches that still say what `sota-exp new-technique` wrote into them for a person to replace."""
    paths = [root / "docs" / "techniques.md"]
    for option in found:
        folder, stem = folder_of(option.slot), shared_module(option, found) or option.name
        paths += [root / "sota_exp" / folder / f"{stem}.py", root / "tests" / folder / f"test_{stem}.py"]
    return [
        f"{path.relative_to(root)}: still says {text!r}"
        for path in dict.fromkeys(paths)
        for text in (*PLACEHOLDERS, "pytest.fail(")
        if path.is_file() and text in path.read_text()
    ]


def _without_module_or_test(root: Path, found: list[Option]) -> list[str]:
    missing = []
    for option in found:
        if option.is_neutral:
            continue
        stem = shared_module(option, found) or option.name
        folder = folder_of(option.slot)
        module, test = f"sota_exp/{folder}/{stem}.py", f"tests/{folder}/test_{stem}.py"
        expected = module.removesuffix(".py").replace("/", ".")
        if not (root / module).is_file():
            missing.append(f"{module}: no such file, the module of {option}")
        elif option.target.rpartition(".")[0] != expected:
            missing.append(f"conf/{option.slot}/{option.name}.yaml: _target_={option.target} is not in {expected}")
        if not (root / test).is_file():
            missing.append(f"{test}: no such file, the test of {option}")
    return missing


def shared_module(option: Option, found: list[Option]) -> str:
    """The module of the slot that several of its options build the same class of, as published sets do; or ""."""
    folder, _, stem = option.target.rpartition(".")[0].rpartition(".")
    kin = [other for other in found if (other.slot, other.target) == (option.slot, option.target)]
    return stem if len(kin) > 1 and folder == f"sota_exp.{folder_of(option.slot).replace('/', '.')}" else ""


def _without_row(root: Path, found: list[Option]) -> list[str]:
    rows, known = rows_of(root), {(option.slot, option.name) for option in found}
    missing = [
        f"docs/techniques.md: no row | {option.slot} | {option.name} |"
        for option in found
        if (option.slot, option.name) not in rows
    ]
    slots = {option.slot for option in found}
    strange = [row for row in rows if row[0] in slots and row not in known]
    return missing + [
        f"conf/{slot}/{name}.yaml: no such file, though docs/techniques.md has its row" for slot, name in strange
    ]


def rows_of(root: Path) -> list[tuple[str, str]]:
    """(slot, option) of every table row of docs/techniques.md."""
    page = root / "docs" / "techniques.md"
    lines = page.read_text().splitlines() if page.is_file() else []
    cells = [[cell.strip(" `") for cell in line.split("|")] for line in lines if line.startswith("|")]
    return [(row[1], row[2]) for row in cells if len(row) > 3]


def _without_yaml(root: Path, found: list[Option]) -> list[str]:
    """Modules of the groups that are no option's, that no other module imports and that are no programs."""
    package = root / "sota_exp"
    groups = sorted({folder_of(option.slot).split("/")[0] for option in found})
    modules = [path for group in groups for path in sorted((package / group).rglob("*.py")) if path.stem != "__init__"]
    targets = {option.target.rpartition(".")[0] for option in found}
    imported = {name for path in package.rglob("*.py") for name in imports(path)}
    missing = []
    for path in modules:
        place = path.relative_to(package)
        name = ".".join(["sota_exp", *place.with_suffix("").parts])
        if name not in targets and name not in imported and "__main__" not in path.read_text():
            missing.append(
                f"conf/{str(place.with_suffix('.yaml')).removeprefix('techniques/')}: no such file, though sota_exp/{place} is there"
            )
    return missing


def imports(path: Path) -> set[str]:
    """Modules and names that a file imports anywhere in it, dotted. Relative imports are refused by the linter."""
    return set(_imports_of(path.read_text()))


@cache
def _imports_of(text: str) -> frozenset[str]:
    names = set()
    for node in ast.walk(tree_of(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)
