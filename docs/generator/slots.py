"""The abstract class of every slot with the methods that an option of one's own needs, read from the source."""

import ast
from collections.abc import Iterator

from sota_exp.config.source_types import SourceClass, look_up, read_fields, read_module

#: The class of the whole experiment, in whose module the groups of slots are too.
EXPERIMENT = SourceClass("sota_exp.config.experiment", "Experiment")


def list_slots(group: SourceClass = EXPERIMENT, prefix: str = "") -> Iterator[tuple[str, SourceClass]]:
    """(slot, abstract class of its options), in the order in which they act."""
    for name, kind in read_fields(group).items():
        if isinstance(kind, SourceClass) and kind.module == EXPERIMENT.module:
            yield from list_slots(kind, f"{prefix}{name}/")
        elif isinstance(kind, SourceClass):
            yield f"{prefix}{name}", kind


def list_abstract_methods(cls: SourceClass) -> dict[str, ast.FunctionDef]:
    """Name → abstract method, of a class and its bases."""
    node = read_module(cls.module)[cls.name]
    assert isinstance(node, ast.ClassDef)
    found: dict[str, ast.FunctionDef] = {}
    for base in node.bases:
        place = look_up(cls.module, base.id) if isinstance(base, ast.Name) and base.id != "ABC" else None
        found |= list_abstract_methods(place) if isinstance(place, SourceClass) else {}
    for item in node.body:
        if isinstance(item, ast.FunctionDef):
            is_abstract = any(ast.unparse(decorator) == "abstractmethod" for decorator in item.decorator_list)
            found = {name: each for name, each in found.items() if name != item.name}
            found |= {item.name: item} if is_abstract else {}
    return found


def format_signature(method: ast.FunctionDef) -> str:
    """`name(parameter: Type, …) -> Type`, without self."""
    arguments = ast.unparse(method.args).removeprefix("self").removeprefix(", ")
    return f"{method.name}({arguments}) -> {ast.unparse(method.returns) if method.returns else 'None'}"


def list_stages() -> list[tuple[list[str], SourceClass, dict[str, str]]]:
    """(slots, abstract class, signature → the first line of its docstring), of every class of options."""
    slots: dict[SourceClass, list[str]] = {}
    for slot, cls in list_slots():
        slots.setdefault(cls, []).append(slot)
    return [
        (
            names,
            cls,
            {
                format_signature(method): (ast.get_docstring(method) or "").partition("\n")[0]
                for method in list_abstract_methods(cls).values()
            },
        )
        for cls, names in slots.items()
    ]
