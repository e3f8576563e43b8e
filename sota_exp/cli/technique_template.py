"""The four touches of a new technique, begun: module, YAML, test and row, as a copy of an option that is already there.

A copy of a slot's neutral option does nothing yet, so the contract test fails until it has an effect. This module
reads and writes source text only; it imports no stage.
"""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

from sota_exp.cli.slot_template import NewSlot, add_table_row, format_slot_files, parse_new_slot
from sota_exp.config.catalog import CatalogOption, load_catalog
from sota_exp.config.values import format_legal
from sota_exp.errors import ConfigError
from sota_exp.runs.atomic import write_text

#: Groups of conf/ whose options have machinery of their own beside their module.
UNSUPPORTED_GROUPS = ("data", "data/split", "tracking")

#: What stands where a person has to write; tests/options.py names every place where it still does.
UNWRITTEN_FORMULA, UNWRITTEN_DEFAULTS = "the formula, in a line or two", "which defaults matter"
UNWRITTEN_PAPER, UNWRITTEN_SETTING = "authors year, title, arXiv number", "values that are known to work"
PLACEHOLDERS = (UNWRITTEN_FORMULA, UNWRITTEN_DEFAULTS, UNWRITTEN_PAPER, UNWRITTEN_SETTING)


@dataclass(frozen=True, kw_only=True)
class NewTechnique:
    """What is to be made: `slot=name`, what it does in a sentence, and the option whose code it starts from."""

    slot: str
    name: str
    summary: str
    like: CatalogOption
    new_slot: NewSlot | None = None

    @property
    def class_name(self) -> str:
        return "".join(part.capitalize() for part in self.name.split("_"))

    @property
    def module(self) -> str:
        return f"sota_exp.techniques.{self.slot.replace('/', '.')}.{self.name}"


def parse_technique(root: Path, path: str, summary: str, like: str) -> NewTechnique:
    """The technique that `slot/name` names.

    like: an option of the slot to start from; for a new slot, a slot of the same kind.

    Raises:
        ConfigError: no such slot, no name for a module, an option that exists, or nothing to start from.
    """
    slot, _, name = path.strip("/").rpartition("/")
    there = [
        option for option in load_catalog(root / "conf", root / "sota_exp") if option.group not in UNSUPPORTED_GROUPS
    ]
    summary = summary.rstrip(".")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ConfigError(f"{path}: {name} is no name; legal: small letters, digits and _, as in random_erasing")
    if slot not in {option.group for option in there}:
        made = parse_new_slot(root, slot or path, like, there)
        neutral = next(option for option in there if option.group == made.like and option.is_neutral)
        return NewTechnique(slot=slot, name=name, summary=summary, like=neutral, new_slot=made)
    members = {option.name: option for option in there if option.group == slot}
    if name in members:
        raise ConfigError(f"{path}: {slot}={name} exists already; legal: another name")
    neutral_name = next((option.name for option in members.values() if option.is_neutral), "")
    if (like or neutral_name) not in members:
        why = f"--like {like}: no such option" if like else f"{slot} has no option that does nothing; say --like OPTION"
        raise ConfigError(f"{why}; {format_legal(like, members)}")
    return NewTechnique(slot=slot, name=name, summary=summary, like=members[like or neutral_name])


def write_technique(root: Path, made: NewTechnique) -> list[Path]:
    """Write all touches below `root`, a checkout, and return the files, those of the technique first.

    Raises:
        ConfigError: one of the new files exists already.
    """
    own = {
        root / "sota_exp" / "techniques" / made.slot / f"{made.name}.py": format_module(root, made),
        root / "conf" / made.slot / f"{made.name}.yaml": format_yaml(root, made),
        root / "tests" / "techniques" / made.slot / f"test_{made.name}.py": format_test(made),
    }
    for path in own:
        if path.exists():
            raise ConfigError(f"{path.relative_to(root)} exists already; remove it, or choose another name")
    of_slot = {} if made.new_slot is None else format_slot_files(root, made.new_slot, made.like)
    table = root / "docs" / "techniques.md"
    row = f"| `{made.slot}` | `{made.name}` | {made.summary} | {UNWRITTEN_DEFAULTS} | {UNWRITTEN_PAPER} |\n"
    own[table] = add_table_row(of_slot.pop(table, table.read_text()), made.slot, row)
    for path, text in {**own, **of_slot}.items():
        write_text(path, text)
    return [*own, *of_slot]


def format_module(root: Path, made: NewTechnique) -> str:
    """The module: a docstring to fill in, then the copied class under its new name."""
    module, _, copied = made.like.target.rpartition(".")
    source = root.joinpath(*module.split(".")).with_suffix(".py").read_text()
    tree = ast.parse(source)
    if made.like.is_neutral:
        code = extract_class(source, tree, copied, module)
    else:
        code = "\n".join(source.splitlines()[tree.body[0].end_lineno or 0 :]).strip("\n")
    code = re.sub(rf"\b{copied}\b", made.class_name, code)
    if made.like.is_neutral:
        code = re.sub(r'(class \w+\(\w+\):\n    """).*?(""")', rf"\g<1>{made.summary}.\g<2>", code, flags=re.DOTALL)
    words = made.name.replace("_", " ").capitalize()
    documentation = (
        f'"""{words}: {made.summary}.\n\n    {UNWRITTEN_FORMULA}\n\n'
        f"Paper: {UNWRITTEN_PAPER}\n"
        f'Setting: {UNWRITTEN_SETTING}, for what, and what they bought there.\n"""'
    )
    return f"{documentation}\n\n{code}\n"


def extract_class(source: str, tree: ast.Module, name: str, module: str) -> str:
    """The class `name` of `module`, whose text is `source`, as a module of its own, with the imports that it uses."""
    (found,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    start = min(found.lineno, *(decorator.lineno for decorator in found.decorator_list))
    text = "\n".join(source.splitlines()[start - 1 : found.end_lineno])
    used = set(re.findall(r"\w+", text.replace(ast.get_docstring(found) or name, "")))
    ours = sorted(used & {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)} - {name})
    lines = []
    for node in tree.body:
        if isinstance(node, ast.Import):
            lines += [f"import {alias.name}" for alias in node.names if (alias.asname or alias.name) in used]
        elif isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names if alias.name in used]
            lines += [f"from {node.module} import {', '.join(names)}"] if names else []
    lines.append(f"from {module} import {', '.join(ours)}")
    groups: dict[str, list[str]] = {"standard library": [], "torch": [], "sota_exp": []}
    for line in sorted(lines):
        package = line.split()[1].split(".")[0]
        groups.get(package, groups["standard library"]).append(line)
    return "\n\n".join("\n".join(lines) for lines in groups.values() if lines) + "\n\n\n" + text


def format_yaml(root: Path, made: NewTechnique) -> str:
    """A comment that says what it does, the target, and the fields of the option it is copied from."""
    lines = (root / "conf" / made.like.group / f"{made.like.name}.yaml").read_text().splitlines()
    kept = [line for line in lines if not line.startswith(("#", "_target_"))]
    return "\n".join([f"# {made.summary}.", f"_target_: {made.module}.{made.class_name}", *kept]) + "\n"


def format_test(made: NewTechnique) -> str:
    """A test that fails until somebody shows that the technique agrees with its definition."""
    return (
        f'"""{made.slot}={made.name}: agreement with a reference, limits, mass conserved, repeatability."""\n\n'
        "import pytest\n\n"
        f"from {made.module} import {made.class_name}\n\n\n"
        "def test_it_agrees_with_its_definition():\n"
        f'    pytest.fail(f"show that {{{made.class_name}.__name__}} does what its docstring says")\n'
    )
