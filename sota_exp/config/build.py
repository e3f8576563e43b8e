"""Builds the typed experiment from the values of a configuration.

Every value is checked before any data is read. A mistake is a `ConfigError` with key, value and legal values.
"""

import dataclasses
import functools
import importlib
import math
import pickle
import typing
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from omegaconf import MISSING, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sota_exp.config.formats import get_target
from sota_exp.config.hints import format_options_with_key
from sota_exp.config.values import format_given_value, format_legal, join_key, require_option
from sota_exp.errors import ConfigError, NotTrainable

T = TypeVar("T")

#: Keys that name the option in its node; all others are its values.
OPTION_KEYS = ("_option_", "_target_")


def build(cls: type[T], tree: object, key: str = "") -> T:
    """Build `cls` from plain values: a stage, named by `_option_` or `_target_`, or a group of stages and values.

    Raises:
        ConfigError: an unknown key, a wrong type, a missing value, a value out of range, or a stage of another class.
    """
    from sota_exp.stages.stage import Stage

    if issubclass(cls, Stage):
        cls = _get_stage_class(cls, tree, key)
        tree = {name: value for name, value in typing.cast(dict[str, Any], tree).items() if name not in OPTION_KEYS}
    types = get_field_types(typing.cast(Any, cls))
    if not isinstance(tree, Mapping):
        each = " or ".join(f"{join_key(key, name)}=…" for name in types)
        raise ConfigError(f"{key}={format_given_value(tree)}: this is a group of values; set {each}")
    tree = get_inert_values(typing.cast(Any, cls)) | dict(tree)
    require_known_keys(tree, types, key)
    require_values(tree, types, key)
    values = {
        name: build(kind, tree.get(name), join_key(key, name)) for name, kind in types.items() if is_config_class(kind)
    }
    leaves = {name: kind for name, kind in types.items() if not is_config_class(kind)}
    values |= convert_values(leaves, {name: tree[name] for name in leaves}, key)
    with prefix_invalid_values(key):
        return cls(**values)


def _get_stage_class(cls: type[T], tree: object, key: str) -> type[T]:
    """The class of the option that `tree` chooses, a subclass of `cls`."""
    slot = key.replace(".", "/")
    require_option(tree, key)
    assert isinstance(tree, Mapping)
    path = get_target(tree, key)
    if path is None:
        raise ConfigError(f"{key}: no _target_; choose an option with {slot}=…")
    target = import_class(path, key)
    if not (isinstance(target, type) and issubclass(target, cls)):
        raise ConfigError(f"{key}._target_={format_given_value(path)} is no {cls.__name__}, which {slot} needs")
    return target


@functools.cache
def get_inert_values(cls: Any) -> dict[str, Any]:
    """Field → value without effect, of the fields that `added` marks: older files do not contain them."""
    return {item.name: item.metadata["inert"] for item in dataclasses.fields(cls) if "inert" in item.metadata}


def import_class(path: str, key: str) -> Any:
    """Import `package.module.Name`. `Name` is only looked up in the module, so nothing is called.

    Raises:
        ConfigError: no such module or name.
    """
    module, _, name = path.rpartition(".")
    try:
        return vars(importlib.import_module(module))[name]
    except (ImportError, KeyError, ValueError) as error:
        reason = f"{module} has no {name}" if isinstance(error, KeyError) else str(error)
        if isinstance(error, ModuleNotFoundError):
            reason += "; install it, or name the folder that it lies in: PYTHONPATH=DIR sota-exp …"
        raise ConfigError(f"{key}._target_={format_given_value(path)} cannot be imported: {reason}") from error


@functools.cache
def get_field_types(cls: Any) -> dict[str, Any]:
    """Field → type of a dataclass, annotations resolved."""
    assert dataclasses.is_dataclass(cls), cls
    hints = typing.get_type_hints(cls)
    return {item.name: hints[item.name] for item in dataclasses.fields(cls)}


def is_config_class(kind: object) -> bool:
    """Whether the type is a class of this package: a stage or a group, not a plain value."""
    return isinstance(kind, type) and kind.__module__.startswith("sota_exp.")


def require_known_keys(tree: Iterable[str], fields: Collection[str], key: str) -> None:
    """Check that a node has no other keys than the fields of its class.

    Raises:
        ConfigError: a key is unknown.
    """
    for name in tree:
        if name not in (*fields, *OPTION_KEYS):
            legal = format_legal(str(name), fields) if fields else "this option has no keys."
            hint = "" if "Did you mean" in legal else format_options_with_key(key.replace(".", "/"), str(name))
            raise ConfigError(f"{join_key(key, name)}: no such key; {legal}{hint}")


def require_values(tree: Mapping[str, Any], types: Mapping[str, Any], key: str) -> None:
    """Check that a node has a value for each field of its class that is no group and no slot.

    Raises:
        NotTrainable: one is missing.
    """
    for name in types:
        if tree.get(name) == MISSING or (name not in tree and not is_config_class(types[name])):
            raise NotTrainable(f"{join_key(key, name)}: a value is missing; give one: {join_key(key, name)}=…")


def convert_values(types: Mapping[str, Any], values: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Values converted and checked by OmegaConf, each as a field of its type.

    Raises:
        ConfigError: a value has another type, or is infinite or NaN.
    """
    converted: dict[str, Any] = {}
    for name, kind in types.items():
        value = values[name]
        made = None if is_of_type(value, kind) else _convert(kind, pickle.dumps(value))
        if made == b"":
            raise ConfigError(
                f"{join_key(key, name)}={format_given_value(value)}: expected {describe_type(kind)}"
                f"{_explain_fraction(value)}"
            )
        converted[name] = value if made is None else pickle.loads(made)
    for name, value in converted.items():
        if not _is_finite(value):
            raise ConfigError(f"{join_key(key, name)}={format_given_value(value)} is not legal: a finite number")
    return converted


def is_of_type(value: object, kind: object) -> bool:
    """Whether a value is plainly of a type, so that OmegaConf would leave it as it is."""
    if value is None:
        return type(None) in typing.get_args(kind)
    kinds = (kind, *typing.get_args(kind)) if type(None) in typing.get_args(kind) else (kind,)
    return type(value) in (bool, int, float) and type(value) in kinds


@functools.lru_cache(maxsize=8192)
def _convert(kind: Any, pickled: bytes) -> bytes:
    """A pickled value as OmegaConf converts it for a field of a type, pickled; empty where it is not of the type."""
    value = pickle.loads(pickled)
    # OmegaConf takes ${x} for any type; here all values are resolved, and only a text may contain it.
    if "${" in str(value) and str not in _list_types(kind):
        return b""
    # OmegaConf takes a list as an item of a list of numbers.
    if isinstance(value, list) and any(isinstance(item, list | Mapping) for item in value):
        return b""
    typed = OmegaConf.structured(_schema(kind))
    try:
        OmegaConf.update(typed, "value", value)
    except (OmegaConfBaseException, OverflowError):
        return b""
    # Not resolved: the values are, and a folder may be called ${x}.
    result = OmegaConf.to_container(typed, resolve=False, throw_on_missing=True)
    assert isinstance(result, dict)
    return pickle.dumps(result["value"])


def _list_types(kind: object) -> set[object]:
    """The type, and those it is made of: float and list for a list of numbers."""
    return {kind, typing.get_origin(kind)}.union(*map(_list_types, typing.get_args(kind)))


@functools.cache
def _schema(kind: Any) -> type:
    return dataclasses.make_dataclass("Schema", [("value", kind, MISSING)])


def _is_finite(value: object) -> bool:
    """Whether no number in a value, a list or a mapping is infinite or NaN."""
    if isinstance(value, Mapping):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def _explain_fraction(value: object) -> str:
    """The end of the message about a value that is perhaps meant as a fraction of another one."""
    is_fraction = isinstance(value, float) and 0 < value < 1
    return ", not a fraction of the recipe's value; give the number itself" if is_fraction else ""


def describe_type(kind: object) -> str:
    """The type in words: `a number`, `a list, each item an integer`."""
    words = {int: "an integer", float: "a number", bool: "true or false", str: "a text"}
    parts = [part for part in typing.get_args(kind) if part is not type(None)]
    if kind in words:
        return words[kind]
    if type(None) in typing.get_args(kind) and len(parts) == 1:
        return f"{describe_type(parts[0])}, or null"
    if typing.get_origin(kind) is list:
        return f"a list, each item {describe_type(parts[0])}"
    return str(kind)


@contextmanager
def prefix_invalid_values(key: str) -> Iterator[None]:
    """Context manager that turns an `InvalidValue` into a `ConfigError` with the whole dotted key.

    Raises:
        ConfigError: a value is not legal.
    """
    from sota_exp.stages.stage import InvalidValue

    try:
        yield
    except InvalidValue as error:
        raise ConfigError(
            f"{join_key(key, error.name)}={format_given_value(error.value)} is not legal: {error.legal}"
        ) from error
