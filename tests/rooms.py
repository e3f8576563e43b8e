"""The rooms of the package as its files have them: who imports whom, what breaks the layout, and the table of docs/architecture.md.

`python -m tests.rooms` prints the table.
"""

import ast
import re
from pathlib import Path

from tests.options import ROOT, imports, tree_of

PACKAGE = ROOT / "sota_exp"

MODULES = sorted(PACKAGE.rglob("*.py"))

MOST_ROOMS = 14


def place(path: Path) -> str:
    """Of a module, below the package."""
    return str(path.relative_to(PACKAGE))


def rooms(package: Path) -> dict[str, list[Path]]:
    """The modules of every folder of the package."""
    folders = [path for path in sorted(package.iterdir()) if path.is_dir() and path.name != "__pycache__"]
    return {folder.name: sorted(folder.rglob("*.py")) for folder in folders}


def declared(package: Path, room: str) -> set[str]:
    """The rooms that the second sentence of a room's docstring says it imports."""
    text = ast.get_docstring(tree_of((package / room / "__init__.py").read_text())) or ""
    found = re.search(r"^Imports ([a-z, ]+)\.$", text, re.M)
    assert found, f"sota_exp/{room}/__init__.py: no line `Imports …, … and ….`"
    return set() if found[1] == "no other room" else set(re.split(r", | and ", found[1]))


def faults_of_layout(package: Path) -> list[str]:
    """What breaks the layout: loose files, too many rooms, imports that a room does not declare, declared ones that it does not
    make, circles between rooms or files."""
    found = rooms(package)
    faults = [
        f"{path.name} lies loose at the top of the package"
        for path in package.iterdir()
        if path.is_file() and path.name not in ("__init__.py", "__main__.py", "errors.py")
    ]
    faults += [f"{len(found)} rooms"] if len(found) > MOST_ROOMS else []
    arrows = {name: _imported_rooms(paths) - {name} for name, paths in found.items()}
    for name, others in arrows.items():
        if not (package / name / "__init__.py").is_file():
            faults.append(f"{name} has no __init__.py")
            continue
        says = declared(package, name)
        faults += [f"{name} imports techniques, which are chosen by name"] if "techniques" in others | says else []
        faults += [f"{name} imports {other}, which its __init__.py does not say" for other in sorted(others - says)]
        faults += [f"{name}/__init__.py says {other}, which {name} does not import" for other in sorted(says - others)]
    faults += _faults_of_techniques(package / "techniques")
    modules = {
        ".".join(["sota_exp", *path.relative_to(package).with_suffix("").parts]): path for path in package.rglob("*.py")
    }
    files = {name: {other for other in imports(path) if other in modules} for name, path in modules.items()}
    faults += [f"circle of rooms: {', '.join(circle)}" for circle in [_on_circles(arrows)] if circle]
    return faults + [f"circle of files: {', '.join(circle)}" for circle in [_on_circles(files)] if circle]


def _faults_of_techniques(room: Path) -> list[str]:
    """A technique imports none of another group, and of the data only how images are resized."""
    faults = []
    for path in room.glob("*/**/*.py"):
        own = f"sota_exp.techniques.{path.relative_to(room).parts[0]}."
        foreign = {
            name for name in imports(path) if name.startswith("sota_exp.techniques.") and not name.startswith(own)
        }
        foreign |= {name for name in imports(path) if name.startswith("sota_exp.data.") and ".resize" not in name}
        faults += [f"techniques/{path.relative_to(room)} imports {name}" for name in sorted(foreign)]
    return faults


def _imported_rooms(paths: list[Path]) -> set[str]:
    """The rooms that files import anywhere in them: at the top, in functions, for types."""
    names = {name for path in paths for name in imports(path) if name.startswith("sota_exp.")}
    return {name.split(".")[1] for name in names} - {"errors", "CONF", "PACKAGE"}


def _on_circles(arrows: dict[str, set[str]]) -> list[str]:
    """What is left of a graph when whatever imports nothing that is left is taken away, again and again."""
    left = {name: set(others) for name, others in arrows.items()}
    while free := [name for name, others in left.items() if not others & left.keys()]:
        for name in free:
            del left[name]
    return sorted(left)


def table(package: Path = PACKAGE) -> str:
    """One row per room, from the ground up, with a mark for every room that it imports: all marks lie left of the diagonal."""
    arrows = {name: _imported_rooms(paths) - {name} for name, paths in rooms(package).items()}
    order: list[str] = []
    while left := [name for name in arrows if name not in order]:
        order.append(min(left, key=lambda name: (bool(arrows[name] - set(order)), len(arrows[name]), name)))
    width = max(map(len, order))
    lines = [" " * width + "".join(f" {name[:4]:<4}" for name in order)]
    for row, name in enumerate(order):
        marks = [("  ●  " if other in arrows[name] else "  ·  ") for other in order[:row]]
        lines.append(f"{name:<{width}}" + "".join(marks) + "  ■")
    return "\n".join(line.rstrip() for line in lines)


if __name__ == "__main__":
    print(table())
