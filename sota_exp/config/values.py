"""Values of a nested configuration by their dotted keys, and as they are written on a command line."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from sota_exp.errors import ConfigError


def suggestion(word: str, legal: Iterable[str]) -> str:
    """` Did you mean …?`, or nothing where no legal word is near."""
    near = difflib.get_close_matches(word, list(legal), n=1, cutoff=0.6)
    return f" Did you mean {near[0]}?" if near else ""


def leaves(tree: Mapping[str, Any], key: str = "") -> dict[str, Any]:
    """Every value of a nested configuration by its dotted key."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        path = join_key(key, name)
        found |= leaves(value, path) if isinstance(value, Mapping) else {path: value}
    return found


def join_key(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def group_of(override: str) -> str:
    """The part of an override before its value, `evaluation/tta` of `evaluation/tta=flip`."""
    return override.lstrip("+~").partition("=")[0].partition("@")[0]


def shown(value: object) -> str:
    """A plain value as Hydra's command line reads it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{','.join(map(shown, value))}]"
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return repr(value)


def require_option(node: object, key: str) -> None:
    """Check that the node of a slot is that of an option.

    Raises:
        ConfigError: nothing is chosen, or a value stands where an option belongs.
    """
    slot = key.replace(".", "/")
    if node is None:
        raise ConfigError(f"{slot}: no option is chosen; choose one, such as {slot}=none")
    if not isinstance(node, Mapping):
        raise ConfigError(f"{key}={node} sets a value; an option is chosen with slashes: {slot}={node}")
