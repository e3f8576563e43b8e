"""Rewrites errors of Hydra and OmegaConf in one line, with the key, the value and the legal values."""

import itertools
import re
from collections.abc import Callable
from typing import Any, cast

import yaml
from omegaconf import OmegaConf, open_dict

from sota_exp.config.hydra_compose import compose_with_hydra, list_config_groups
from sota_exp.config.values import flatten, format_legal, format_suggestion


def format_hydra_error(error: Exception, arguments: list[str]) -> str:
    """Format a composition error as `key=value: mistake; legal: values. Did you mean …?`"""
    text = str(error)
    for pattern, explain in ERROR_EXPLANATIONS.items():
        if found := re.search(pattern, text):
            return explain(found, arguments)
    details = ("full_key:", "object_type=", "reference_type=")
    return " ".join(line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith(details))


def _no_option(found: re.Match[str], arguments: list[str]) -> str:
    option = found[1].rpartition("/")[2]
    options = found[3].split()
    return f"{found[2]}={option}: no such option; {format_legal(option, options)}"


def _no_key_or_group(found: re.Match[str], arguments: list[str]) -> str:
    """Explain an unknown key or group. A group contains a slash, or Hydra's message is about the defaults list."""
    key = found[1].lstrip("+~")
    if "/" in key or "defaults list" in found.string:
        groups = list_config_groups()
        return f"{key}: no such group.{format_suggestion(key, groups) or ' Legal: ' + ', '.join(groups) + '.'}"
    legal = list_composed_keys(arguments)
    parent = key.rpartition(".")[0]
    siblings = [name for name in legal if name.rpartition(".")[0] == parent]
    if parent in legal and not siblings:
        return f"{key}: no such key; the option of {parent.replace('.', '/')} has no keys."
    if not siblings:
        return f"{key}: no such key.{format_suggestion(key, legal)}"
    return f"{key}: no such key; {format_legal(key.rpartition('.')[2], [name.rpartition('.')[2] for name in siblings])}"


def _no_reference(found: re.Match[str], arguments: list[str]) -> str:
    users = [item for item in arguments if f"${{{found[1]}" in item]
    return f"{' '.join(users) or '${' + found[1] + '}'}: the configuration has no key {found[1]}"


def _no_name(found: re.Match[str], arguments: list[str]) -> str:
    groups = {*list_config_groups(), ""}
    pairs = [item.partition("=") for item in arguments]
    nameless = [
        f"{key}={value}" for key, _, value in pairs if key in groups and not isinstance(yaml.safe_load(value), str)
    ]
    return f"{' '.join(nameless)}: the value of a group is the name of an option; write group=option"


def _not_an_override(found: re.Match[str], arguments: list[str]) -> str:
    # In Hydra's grammar a second = is a mistake.
    key, _, value = found[1].partition("=")
    quoted = f"; a value that contains = needs quotes: {key}='\"{value}\"'" if "=" in value and key else ""
    return f"{found[1]}: not an override; write key=value or group/slot=option{quoted}"


def _several_values(found: re.Match[str], arguments: list[str]) -> str:
    key, _, values = found[1].partition("=")
    return f"{found[1]}: for one run per value add -m; for a list write {key}=[{values}]"


#: Pattern of a message of Hydra or OmegaConf → function that explains it.
ERROR_EXPLANATIONS: dict[str, Callable[[re.Match[str], list[str]], str]] = {
    r"Could not find '([^']+)'\s*\n+\s*Available options in '([^']+)':\n((?:\t.*\n?)+)": _no_option,
    r"Could not (?:override|delete)(?: from config)?[:.]? '([^']+)'": _no_key_or_group,
    r"Interpolation key '([^']+)' not found": _no_reference,
    r"Error when parsing index: \d+, string: (.+?) out of \[": _not_an_override,
    r"Config group override must be a string": _no_name,
    r"Ambiguous value for argument '([^']+)'": _several_values,
}


def list_composed_keys(arguments: list[str]) -> list[str]:
    """All dotted keys, including groups, of the configuration whose options `arguments` choose."""
    groups = set(list_config_groups())
    chosen = [item for item in arguments if item.partition("=")[0] in groups and "," not in item]
    config = compose_with_hydra(chosen)
    with open_dict(config):
        del config["hydra"]
    tree = cast(dict[str, Any], OmegaConf.to_container(config, resolve=False))
    found = (path for key in flatten(tree) for path in itertools.accumulate(key.split("."), "{}.{}".format))
    return list(dict.fromkeys(path for path in found if not path.endswith("._target_")))
