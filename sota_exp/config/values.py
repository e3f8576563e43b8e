"""Dotted keys and command-line text of configuration values, and suggestions for misspelt ones."""

import difflib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from rich.cells import cell_len, set_cell_size

from sota_exp import CONF
from sota_exp.config.printable import make_printable
from sota_exp.errors import ConfigError


def format_suggestion(word: str, legal: Iterable[str]) -> str:
    """` Did you mean …?`, or an empty string if no legal word is similar."""
    legal = list(legal)
    same = [name for name in legal if name.casefold() == word.casefold()]
    near = same or difflib.get_close_matches(word, legal, n=1, cutoff=0.6)
    return f" Did you mean {near[0]}?" if near else ""


def format_legal(word: str, legal: Iterable[str]) -> str:
    """`legal: a, b. Did you mean a?`, for the end of the message about an illegal word."""
    legal = list(legal)
    return f"legal: {', '.join(legal)}.{format_suggestion(word, legal)}"


def join_first(words: Sequence[str], most: int) -> str:
    """The first words, and how many more there are."""
    return ", ".join(words[:most]) + (f" and {len(words) - most:,} more" if len(words) > most else "")


def quote_first(names: Iterable[str], most: int = 10) -> str:
    """The first names of classes or files, in quotes, and how many more there are."""
    return join_first([f"'{name}'" for name in names], most)


def flatten(tree: Mapping[str, Any], key: str = "") -> dict[str, Any]:
    """Dotted key → value, for all values of a nested configuration."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        path = join_key(key, name)
        found |= flatten(value, path) if isinstance(value, Mapping) else {path: value}
    return found


def join_key(key: str, name: str) -> str:
    """`key.name`, or `name` at the top level."""
    return f"{key}.{name}" if key else name


def get_override_key(override: str) -> str:
    """The group or key of an override: `evaluation/tta` for `evaluation/tta=flip`."""
    return override.lstrip("+~").partition("=")[0].partition("@")[0]


def is_multirun(arguments: Iterable[str]) -> bool:
    """Whether the arguments of a command ask for several runs."""
    return not {"-m", "--multirun"}.isdisjoint(arguments)


def escape_interpolations(text: str) -> str:
    r"""The text as OmegaConf reads it literally: `\${` for `${`, and backslashes before it doubled."""
    return re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + r"\${", text)


def format_override_value(value: object) -> str:
    """Format a plain value for Hydra's command line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{','.join(map(format_override_value, value))}]"
    if isinstance(value, str):
        # Hydra reads a backslash as such, unless it stands before a quote or the end.
        text = re.sub(r"(\\*)'", r"\1\1\\'", escape_interpolations(value))
        return "'" + re.sub(r"(\\+)\Z", r"\1\1", text) + "'"
    return repr(value)


def format_given_value(value: object) -> str:
    """A value as it is written on the command line, in one line of bearable length, for a message."""
    text = make_printable({"None": "null", "True": "true", "False": "false"}.get(str(value), str(value)))
    return shorten_middle(text, 200)


def shorten_middle(text: str, most: int) -> str:
    """At most `most` characters (a Chinese one counts as two); of a long text the beginning and the end."""
    if max(len(text), cell_len(text)) <= most:
        return text
    first, last = most * 2 // 3, most - 1 - most * 2 // 3
    head = set_cell_size(text[:first], first).rstrip()
    tail = set_cell_size(text[::-1][:last], last)[::-1].lstrip()
    return f"{head}…{tail}"


def find_presets(groups: Collection[str]) -> set[str]:
    """Those of the groups whose options choose options of other groups; `data`, a slot that has a slot, is none."""
    return {group for group in groups if any(slot.startswith(f"{group}/") for slot in groups)} - {"data"}


def list_options(slot: str) -> list[str]:
    """The options of a slot that this package has, by name."""
    return sorted(path.stem for path in (CONF / slot).glob("*.yaml"))


def require_option(node: object, key: str) -> None:
    """Check that the value of a slot is the node of an option.

    Raises:
        ConfigError: no option is chosen, or the slot has a plain value.
    """
    slot = key.replace(".", "/")
    if node is None:
        raise ConfigError(f"{slot}: no option is chosen; choose one, such as {slot}=none")
    if not isinstance(node, Mapping):
        options = list_options(slot)
        given = format_given_value(node)
        meant = given if node in options or not options else "|".join(options)
        raise ConfigError(f"{key}={given} sets a value; an option is chosen with slashes: {slot}={meant}")
