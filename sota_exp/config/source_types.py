"""Types and legal values of options, read from their source code, so that mistakes end before PyTorch is imported.

Only annotations are evaluated, with what they name: types, `Legal(…)`, constants. What cannot be evaluated without an
import of PyTorch is left to `build`, which checks every value again.
"""

import ast
import builtins
import contextlib
import functools
import importlib
import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, get_origin, get_type_hints

from sota_exp.config.build import convert_values, prefix_invalid_values, require_known_keys, require_values
from sota_exp.config.formats import get_option_targets, get_target
from sota_exp.config.values import join_key
from sota_exp.stages.stage import InvalidValue, get_legal_values, require_legal_values

#: Modules whose names annotations may use, which import nothing slow.
IMPORTED = (
    *("builtins", "collections.abc", "functools", "itertools", "math", "os.path", "pathlib", "re", "typing"),
    *("sota_exp.models.network_names", "sota_exp.runs.mlflow_store", "sota_exp.stages.stage"),
)

#: The class of the whole configuration.
ROOT = ("sota_exp.config.experiment", "Experiment")


class NotEvaluated(Exception):
    """An annotation that needs an import."""


class SourceClass(NamedTuple):
    """A class in the source of this package, by its place."""

    module: str
    name: str


@functools.cache
def read_module(name: str) -> dict[str, ast.stmt]:
    """Name → the statement of a module's source that binds it; of assignments, imports and classes.

    Raises:
        NotEvaluated: there is no such source.
    """
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise NotEvaluated(name)
    found: dict[str, ast.stmt] = {}
    for node in ast.parse(Path(spec.origin).read_bytes()).body:
        if isinstance(node, ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] = node
        elif isinstance(node, ast.Assign):
            found |= {target.id: node for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.ImportFrom):
            found |= {alias.asname or alias.name: node for alias in node.names}
    return found


def look_up(module: str, name: str) -> Any:
    """The value of a name in a module, or a `SourceClass`.

    Raises:
        NotEvaluated: it cannot be known without an import.
    """
    if name in vars(builtins):
        return vars(builtins)[name]
    node = read_module(module).get(name)
    if isinstance(node, ast.ClassDef):
        return SourceClass(module, name)
    if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
        return evaluate(module, node.value)
    if isinstance(node, ast.ImportFrom) and node.module:
        original = next(alias.name for alias in node.names if (alias.asname or alias.name) == name)
        if node.module in IMPORTED:
            return getattr(importlib.import_module(node.module), original)
        if node.module.startswith("sota_exp."):
            return look_up(node.module, original)
    raise NotEvaluated(f"{module}.{name}")


def evaluate(module: str, node: ast.expr) -> Any:
    """The value of an expression of a module.

    Raises:
        NotEvaluated: it cannot be known without an import.
    """
    if isinstance(node, ast.Name):
        return look_up(module, node.id)
    bound = {argument.arg for part in ast.walk(node) if isinstance(part, ast.arguments) for argument in part.args}
    bound |= {part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}
    names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)} - bound
    known = {name: look_up(module, name) for name in sorted(names)}
    if any(isinstance(value, SourceClass) for value in known.values()):
        raise NotEvaluated(module)
    return eval(compile(ast.Expression(node), module, "eval"), known)  # source of this package, not of a user


@functools.cache
def read_statements(cls: SourceClass) -> dict[str, tuple[str, ast.AnnAssign]]:
    """Field → the module and the statement that declares it, of a class and its bases.

    Raises:
        NotEvaluated: there is no such class in the source.
    """
    node = read_module(cls.module).get(cls.name)
    if not isinstance(node, ast.ClassDef):
        raise NotEvaluated(cls.name)
    found: dict[str, tuple[str, ast.AnnAssign]] = {}
    for base in node.bases:
        try:
            place = evaluate(cls.module, base)
        except NotEvaluated:
            continue
        found |= read_statements(place) if isinstance(place, SourceClass) else {}
    is_dataclass = any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list)
    for item in node.body if is_dataclass else []:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            found[item.target.id] = (cls.module, item)
    return found


@functools.cache
def read_fields(cls: SourceClass) -> dict[str, Any]:
    """Field → its annotation, or the `SourceClass` of a group; `Any` where it cannot be evaluated.

    Raises:
        NotEvaluated: there is no such class in the source.
    """
    found: dict[str, Any] = {}
    for name, (module, item) in read_statements(cls).items():
        try:
            found[name] = evaluate(module, item.annotation)
        except NotEvaluated:
            found[name] = Any
    return {name: kind for name, kind in found.items() if get_origin(kind) is not ClassVar}


def find_options(
    values: Mapping[str, Any], key: str, cls: SourceClass
) -> Iterator[tuple[str, Mapping[str, Any], SourceClass]]:
    """(key, values, class) of a group or option and of all groups and options of this package below it.

    Classes of other packages, named by `_target_`, are left to `build`: to find their source runs code of the package.
    """
    yield key, values, cls
    for name, kind in read_fields(cls).items():
        place, node = join_key(key, name), values.get(name)
        if isinstance(node, Mapping) and "_option_" in node:
            module, _, target = str(get_target(node, place)).rpartition(".")
            with contextlib.suppress(NotEvaluated):
                yield from find_options(node, place, SourceClass(module, target))
        elif isinstance(node, Mapping) and isinstance(kind, SourceClass) and "_target_" not in node:
            yield from find_options(node, place, kind)


def check_values(values: Mapping[str, Any]) -> None:
    """Check keys, types and ranges of the values of a run, as `build` does, without importing PyTorch.

    Raises:
        ConfigError: a key is unknown, a value is missing, or a value has another type or is not legal.
    """
    for key, node, cls in find_options(values, "", SourceClass(*ROOT)):
        with contextlib.suppress(NotEvaluated):
            check_option(key, node, cls)


def check_option(key: str, node: Mapping[str, Any], cls: SourceClass) -> None:
    """Check keys, types and ranges of one option. node: its values, below `key`; options below it are not checked.

    Raises:
        ConfigError: a key is unknown, a value is missing, or a value has another type or is not legal.
        NotEvaluated: the source has something else than names and plain types for an annotation.
    """
    fields = read_fields(cls)
    require_known_keys(node, fields, key)
    leaves = {name: kind for name, kind in fields.items() if not isinstance(kind, SourceClass)}
    inert = {name for name, (_, item) in read_statements(cls).items() if item.value is not None}
    require_values({name: node.get(name) for name in inert} | dict(node), leaves, key)
    schema, types = build_schema(cls, tuple(name for name in leaves if name in node))
    with prefix_invalid_values(key):
        try:
            require_legal_values(schema, convert_values(types, {name: node[name] for name in types}, key))
        except InvalidValue as error:
            raise InvalidValue(error.name, error.value, error.legal + _find_options_with(key, error)) from error


def _find_options_with(key: str, error: InvalidValue) -> str:
    """`; model/arch=small has it: …`, if the `name` that an option of a slot refuses is legal in others; else empty."""
    slot, having = key.replace(".", "/"), []
    for option, target in get_option_targets(slot).items() if error.name == "name" else ():
        module, _, name = target.rpartition(".")
        with contextlib.suppress(NotEvaluated, LookupError):
            legal = get_legal_values(build_schema(SourceClass(module, name), (error.name,))[0])[error.name]
            having += [option] if not legal.others and legal.is_legal(error.value) else []
    return f"; {slot}={'|'.join(having)} has it: choose that too" if having else ""


@functools.cache
def build_schema(cls: SourceClass, names: tuple[str, ...]) -> tuple[type, dict[str, Any]]:
    """A class with some fields of `cls`, and their types: one for all runs, since legal values are cached by class."""
    schema = type(cls.name, (), {"__annotations__": {name: read_fields(cls)[name] for name in names}})
    return schema, get_type_hints(schema)
