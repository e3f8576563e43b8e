"""Rewrites errors of Hydra and OmegaConf in one line, with the key, the value and the legal values."""

import itertools
import os
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from sota_exp.config.data_paths import find_path_problem
from sota_exp.config.hints import (
    NOT_NEEDED,
    find_key_elsewhere,
    find_option_elsewhere,
    format_meant_option,
    format_options_with_key,
    hint_at_own,
)
from sota_exp.config.hydra_compose import compose_with_hydra, list_config_groups
from sota_exp.config.search_path import build_search_path_override, format_not_global
from sota_exp.config.values import flatten, format_legal, format_suggestion

#: A sign that Hydra reads in a value without quotes.
PLAIN_SIGN = re.compile(r"[\w/\\+.$%*@?|: -]", re.ASCII)


def format_hydra_error(error: Exception, arguments: list[str]) -> str:
    """Format a composition error as `key=value: mistake; legal: values. Did you mean …?`"""
    text = str(error)
    for pattern, explain in ERROR_EXPLANATIONS.items():
        if found := re.search(pattern, text):
            return explain(found, arguments)
    details = ("full_key:", "object_type=", "reference_type=")
    return " ".join(line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith(details))


def _explain_no_option(found: re.Match[str], arguments: list[str]) -> str:
    group, options = found[2], found[3].split()
    typed = _find_typed(group, arguments).partition("=")[2]
    option = typed if found[1].strip("/").endswith(typed.strip("/")) else found[1].rpartition("/")[2]
    meant = format_meant_option(group, option)
    legal = f"legal: {', '.join(options)}." if "Did you mean" in meant else format_legal(option, options)
    return f"{group}={option}: no such option; {hint_at_own(f'{legal}{meant}', build_search_path_override(arguments))}"


def _explain_no_key_or_group(found: re.Match[str], arguments: list[str]) -> str:
    """Explain an unknown key or group. A group contains a slash, or Hydra's message is about the defaults list."""
    key = found[1].lstrip("+~")
    if "/" in key or "defaults list" in found.string:
        groups = list_config_groups()
        if "/" not in key:  # Hydra found the group, in a directory of the user.
            return f"{key}: not in the defaults list; write +{_find_typed(key, arguments)}"
        return f"{key}: no such group.{format_suggestion(key, groups) or ' Legal: ' + ', '.join(groups) + '.'}"
    parent, _, name = key.rpartition(".")
    if key.startswith("hydra.sweeper."):
        chosen = [word for word in arguments if word.startswith("hydra/sweeper=")]
        node = OmegaConf.select(compose_with_hydra([*build_search_path_override(arguments), *chosen]), parent)
        return f"{key}: no such key; {format_legal(name, [str(each) for each in node or () if each != '_target_'])}"
    legal = list_composed_keys(arguments)
    slot = parent.replace(".", "/")
    siblings = [path.rpartition(".")[2] for path in legal if path.rpartition(".")[0] == parent]
    keys = f"; legal: {', '.join(siblings)}" if siblings and parent else ""
    if any(re.match(rf"\+*{slot}=(choice\(|[^'\"\[]*,)", word) for word in arguments):
        return f"{key}: no such key yet: Hydra reads it before the options of a sweep of {slot}; write ++{key}=…"
    if parent in legal and (hint := format_options_with_key(slot, name)):
        return f"{key}: no such key{keys or f'; the option of {slot} has no keys'}.{hint}"
    elsewhere = find_key_elsewhere(key, legal)
    if elsewhere in ("", *list_config_groups()):
        elsewhere = find_option_elsewhere("", _find_typed(key, arguments).partition("=")[2]) or elsewhere
    if elsewhere:
        return f"{key}: no such key{keys}. Did you mean {elsewhere}?"
    if name in NOT_NEEDED:
        return f"{key}: no such key{keys}; it is not needed: {NOT_NEEDED[name]}"
    if parent in legal and not siblings:
        return f"{key}: no such key; the option of {slot} has no keys."
    if not siblings:
        return f"{key}: no such key.{format_suggestion(key, legal)}"
    return f"{key}: no such key; {format_legal(name, siblings)}"


def _find_typed(key: str, arguments: list[str]) -> str:
    """The override of `key` as it was typed."""
    return next((word for word in arguments if word.lstrip("+").partition("=")[0] == key), f"{key}=…")


def _explain_no_reference(found: re.Match[str], arguments: list[str]) -> str:
    users = [item for item in arguments if f"${{{found[1]}" in item]
    return f"{' '.join(users) or '${' + found[1] + '}'}: the configuration has no key {found[1]}"


def _explain_no_name(found: re.Match[str], arguments: list[str]) -> str:
    groups = {*list_config_groups(), ""}
    pairs = [item.partition("=") for item in arguments]
    nameless = [f"{key}={value}" for key, _, value in pairs if key in groups and not _has_names(value)]
    return (
        f"{' '.join(nameless)}: the value of a group is the name of an option, a text; write group=option, and a name "
        "that reads as a number or true within quotes within quotes: experiment=\"'1'\""
    )


def _has_names(value: str) -> bool:
    """Whether the value of a group is one or several texts."""
    try:
        found = OverridesParser.create().parse_override(f"group={value}").value()
        return all(isinstance(name, str) for name in (found if isinstance(found, list) else [found]))
    except (HydraException, ValueError):
        return False


def _explain_not_an_override(found: re.Match[str], arguments: list[str]) -> str:
    key, _, value = found[1].partition("=")
    if not (key and value):
        return f"{found[1]}: not an override; write key=value or group/slot=option{_explain_space(found[1], arguments)}"
    quoted = f"in quotes it is one text: {key}='\"{value}\"'"
    if value.startswith("~"):
        path = os.path.expanduser(value)
        fix = f"write the path in full: {key}={path}" if path != value else f"there is no such user; {quoted}"
        return f"{found[1]}: Hydra reads no ~; {fix}"
    reason = next((f", because of {sign}" for sign in value if not PLAIN_SIGN.match(sign)), "")
    return f"{found[1]}: Hydra cannot read this value{reason}; {quoted}"


def _explain_space(word: str, arguments: list[str]) -> str:
    """What is said of a word that belongs to the value before it, from which the shell parted it; else empty."""
    before = next((one for one, other in itertools.pairwise(arguments) if other == word), "")
    return f"; a value with a space is one word within quotes: '{before} {word}'" if "=" in before else ""


def _explain_several_values(found: re.Match[str], arguments: list[str]) -> str:
    key, _, values = found[1].partition("=")
    if key == "seed":
        return f"{found[1]}: for one run per seed add -m; a study has study.seeds=[{values}] instead"
    return f"{found[1]}: for one run per value add -m; for a list write {key}=[{values}]"


def _explain_range(found: re.Match[str], arguments: list[str]) -> str:
    return f"{found[1]}: this is a range, which sota-exp sweep searches; a single run and its --cfg have one value"


def _explain_no_default(found: re.Match[str], arguments: list[str]) -> str:
    file, slot = found[1], found[2]
    if "@" in slot:
        return format_not_global("=".join(file.rsplit("/", 1)))
    return f"{file}.yaml: override /{slot}: no such group.{format_suggestion(slot, list_config_groups())}"


def _explain_no_launcher(found: re.Match[str], arguments: list[str]) -> str:
    return f"hydra/launcher={found[1]}:{format_meant_option('hydra/launcher', found[1])}"


def _explain_no_config_directory(found: re.Match[str], arguments: list[str]) -> str:
    problem = find_path_problem(Path(found[1]), is_folder=True) or f"{found[1]} is no folder"
    return f"--config-dir: {problem}; give the folder of your YAML files: --config-dir=DIR"


def _explain_not_a_list(found: re.Match[str], arguments: list[str]) -> str:
    ranges = [item for item in arguments if "interval(" in item or "glob(" in item]
    key = ranges[0].partition("=")[0] if ranges else "KEY"
    return f"{' '.join(ranges)}: -m needs single values, {key}=A,B; sota-exp sweep searches an interval"


#: Pattern of a message of Hydra or OmegaConf → function that explains it.
ERROR_EXPLANATIONS: dict[str, Callable[[re.Match[str], list[str]], str]] = {
    r"Could not find '([^']+)'\s*\n+\s*Available options in '([^']+)':\n((?:\t.*\n?)+)": _explain_no_option,
    r"Could not (?:override|delete)(?: from config)?[:.]? '([^']+)'": _explain_no_key_or_group,
    r"In '([^']+)': Invalid Defaults List override[\s\S]*No earlier Group Default for '([^']+)'": _explain_no_default,
    r"In 'hydra/launcher/(\w+)': Could not load": _explain_no_launcher,
    r"Interpolation key '([^']+)' not found": _explain_no_reference,
    r"Error when parsing index: \d+, string: (.+?) out of \[": _explain_not_an_override,
    r"Config group override must be a string|argument of type '\w+' is not iterable": _explain_no_name,
    r"BasicSweeper does not support sweep type": _explain_not_a_list,
    r"Additional config directory '(.+)' not found": _explain_no_config_directory,
    r"Sweep parameters '(.+)' requires --multirun": _explain_range,
    r"Ambiguous value for argument '([^']+)'": _explain_several_values,
}


def list_composed_keys(arguments: list[str]) -> list[str]:
    """All dotted keys, including groups, of the configuration whose options `arguments` choose."""
    config = _find_composed() or _compose_choices(arguments)
    with open_dict(config):
        del config["hydra"]
    tree = cast(dict[str, Any], OmegaConf.to_container(config, resolve=False))
    found = (path for key in flatten(tree) for path in itertools.accumulate(key.split("."), "{}.{}".format))
    return list(dict.fromkeys(path for path in found if not path.endswith("._target_")))


def _find_composed() -> DictConfig | None:
    """What Hydra had composed of the choices when it raised the error that is handled now: composing takes a while."""
    error = sys.exception()
    while error is not None:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            config = frame.f_locals.get("cfg") if frame.f_code.co_name == "_load_configuration_impl" else None
            if isinstance(config, DictConfig):
                return config
        error = error.__cause__ or error.__context__
    return None


def _compose_choices(arguments: list[str]) -> DictConfig:
    """The configuration of the options that are chosen, without the values that are set."""
    groups = set(list_config_groups())
    chosen = [item for item in arguments if item.partition("=")[0] in groups and "," not in item]
    try:
        return compose_with_hydra([*build_search_path_override(arguments), *chosen])
    except (HydraException, OmegaConfBaseException):  # An option of the user, in a directory that is not known here.
        return compose_with_hydra([])
