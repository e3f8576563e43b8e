"""From a composed configuration to a typed experiment. The only module, beside the command line and the sweeper, that knows
OmegaConf.

Every value is checked before data is touched, and every mistake is one `ConfigError` that names the key, the value and
what is legal.
"""

import dataclasses
import functools
import importlib
import typing
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from omegaconf import MISSING, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sota_exp.config.formats import target_of
from sota_exp.config.values import join_key, require_option, suggestion
from sota_exp.errors import ConfigError

T = TypeVar("T")


def build(cls: type[T], tree: object, key: str = "") -> T:
    """Build `tree` (plain values) into `cls`: a stage, by its `_option_` or `_target_`, or a group of stages and values.

    Raises:
        ConfigError: unknown key, wrong type, missing value, value out of range, or a stage of another kind.
    """
    from sota_exp.stages.stage import Stage

    if issubclass(cls, Stage):
        return _build_stage(cls, tree, key)
    if not isinstance(tree, Mapping):
        raise ConfigError(
            f"{key}={tree}: expected a group with the keys {', '.join(field_types(typing.cast(Any, cls)))}"
        )
    types = field_types(typing.cast(Any, cls))
    tree = inert_values(typing.cast(Any, cls)) | dict(tree)
    _check_keys(tree, types, key)
    values = {name: build(kind, tree.get(name), join_key(key, name)) for name, kind in types.items() if is_branch(kind)}
    leaves = {name: kind for name, kind in types.items() if not is_branch(kind)}
    values |= _typed_values(leaves, {name: tree[name] for name in leaves if name in tree}, key)
    return _construct(cls, values, key)


def _build_stage(cls: type[T], tree: object, key: str) -> T:
    slot = key.replace(".", "/")
    require_option(tree, key)
    assert isinstance(tree, Mapping)
    path = target_of(tree, key)
    if path is None:
        raise ConfigError(f"{key}: no _target_; choose an option with {slot}=…")
    target = locate(path, key)
    if not (isinstance(target, type) and issubclass(target, cls)):
        raise ConfigError(f"{key}._target_={path} is not a {cls.__name__}, which {slot} needs")
    return _construct(target, stage_values(target, tree, key), key)


def stage_values(target: type, node: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The fields of an option, typed; one that the node lacks has the value that does nothing, if it declares one.

    Raises:
        ConfigError: unknown key, wrong type or missing value.
    """
    types = field_types(typing.cast(Any, target))
    values = inert_values(target) | {
        name: value for name, value in node.items() if name not in ("_target_", "_option_")
    }
    _check_keys(values, types, key)
    return _typed_values(types, values, key)


@functools.cache
def inert_values(cls: Any) -> dict[str, Any]:
    """Field → value of the fields that were `added` to a class after files with its values had been written."""
    return {item.name: item.metadata["inert"] for item in dataclasses.fields(cls) if "inert" in item.metadata}


def locate(path: str, key: str) -> object:
    """Import `package.module.Name`; only names inside a module, so that nothing is called by looking."""
    module, _, name = path.rpartition(".")
    try:
        return vars(importlib.import_module(module))[name]
    except (ImportError, KeyError, ValueError) as error:
        raise ConfigError(f"{key}._target_={path} cannot be imported: {error}") from error


@functools.cache
def field_types(cls: Any) -> dict[str, Any]:
    assert dataclasses.is_dataclass(cls), cls
    hints = typing.get_type_hints(cls)
    return {item.name: hints[item.name] for item in dataclasses.fields(cls)}


def is_branch(kind: object) -> bool:
    return isinstance(kind, type) and kind.__module__.startswith("sota_exp.")


def _check_keys(tree: Mapping[str, Any], types: Mapping[str, Any], key: str) -> None:
    for name in tree:
        if name not in types:
            legal = f"legal here: {', '.join(types)}" if types else "this option has no keys"
            raise ConfigError(f"{join_key(key, name)}: no such key; {legal}.{suggestion(name, types)}")
    for name in types:
        if tree.get(name) == MISSING or (name not in tree and not is_branch(types[name])):
            raise ConfigError(f"{join_key(key, name)}: a value is missing; give one: {join_key(key, name)}=…")


def _typed_values(types: Mapping[str, Any], values: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Values merged over a structured schema of `types`, so that OmegaConf converts and checks them."""
    if not types:
        return {}
    typed = OmegaConf.structured(_schema(tuple(types.items())))
    for name, value in values.items():
        try:
            OmegaConf.update(typed, name, value)
        except OmegaConfBaseException as error:
            raise ConfigError(f"{join_key(key, name)}={_shown(value)}: expected {_in_words(types[name])}") from error
    result = OmegaConf.to_container(typed, resolve=True, throw_on_missing=True)
    assert isinstance(result, dict)
    return {str(name): value for name, value in result.items()}


@functools.cache
def _schema(types: tuple[tuple[str, Any], ...]) -> type:
    return dataclasses.make_dataclass("Schema", [(name, kind, MISSING) for name, kind in types])


def _shown(value: object) -> str:
    """A value as it is written on the command line."""
    words = {"None": "null", "True": "true", "False": "false"}
    return words.get(str(value), str(value))


def _in_words(kind: object) -> str:
    words = {int: "an integer", float: "a number", bool: "true or false", str: "a text"}
    parts = [part for part in typing.get_args(kind) if part is not type(None)]
    if kind in words:
        return words[kind]
    if type(None) in typing.get_args(kind) and len(parts) == 1:
        return f"{_in_words(parts[0])}, or null"
    if typing.get_origin(kind) is list:
        return f"a list, each item {_in_words(parts[0])}"
    return str(kind)


def _construct(cls: type[T], values: dict[str, Any], key: str) -> T:
    with keyed(key):
        return cls(**values)


@contextmanager
def keyed(key: str) -> Iterator[None]:
    """While entered, a value that is not legal is a `ConfigError` that names its whole key."""
    from sota_exp.stages.stage import InvalidValue

    try:
        yield
    except InvalidValue as error:
        raise ConfigError(f"{join_key(key, error.name)}={_shown(error.value)} is not legal: {error.legal}") from error
