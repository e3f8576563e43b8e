"""The user's directories of YAML files: those of `--config-dir` and `hydra.searchpath`, and those that runs had."""

import re
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import yaml
from hydra._internal.utils import get_args_parser
from omegaconf import OmegaConf

from sota_exp.config.formats import load_yaml
from sota_exp.config.hints import find_key_elsewhere
from sota_exp.config.hydra_compose import compose_with_hydra, list_config_groups
from sota_exp.config.values import flatten, format_override_value
from sota_exp.errors import ConfigError, raise_usage_error

#: Providers of Hydra's search path that are not of the user.
OTHER_PROVIDERS = ("hydra", "main", "schema")

#: The lines of Hydra's file that name providers.
PROVIDER = re.compile(r"\bprovider[\"']?\s*:\s*(\S+)")

#: Groups whose files set values of other groups, as those of a user's own groups do.
GLOBAL_GROUPS = ("recipe", "experiment", "search")

#: The comments at the start of a file that name its package; `_group_` is what a file without them has.
PACKAGE = re.compile(r"\A(?:[ \t]*(?:#.*)?\n)*[ \t]*#\s*@package\s+(?!_group_)\S")


def parse_flags(arguments: list[str]) -> Namespace:
    """The flags of Hydra's command line, and the overrides.

    Raises:
        ConfigError: there is no such flag, or its value is missing.
    """
    parser = get_args_parser()
    parser.error = raise_usage_error  # type: ignore[method-assign]
    found, others = parser.parse_known_intermixed_args(arguments)
    if others:
        raise ConfigError(_describe_unknown_flag(others[0], arguments))
    return found


def _describe_unknown_flag(word: str, arguments: list[str]) -> str:
    """One line about `--epochs 3` or `--epochs=3`, with the key that is meant."""
    flag, sign, value = word.partition("=")
    if not sign and word in arguments[:-1]:
        value = arguments[arguments.index(word) + 1]
    keys = flatten(cast(dict[str, Any], OmegaConf.to_container(compose_with_hydra([]), resolve=False)))
    meant = find_key_elsewhere(flag.lstrip("-").replace("-", "_"), keys)
    if not meant:
        return f"{flag}: no such flag; sota-exp COMMAND --help lists all"
    typed = f"{meant}={value}" if value and meant in keys and "=" not in value else meant
    return f"{flag}: no such flag; keys have no dashes. Did you mean {typed}?"


def asks_to_print(arguments: list[str]) -> bool:
    """Whether a command is to print its configuration or about it, and to run nothing."""
    flags = parse_flags(arguments)
    return bool(flags.cfg or flags.info)


def build_search_path_override(arguments: list[str], runs: Sequence[Path] = ()) -> list[str]:
    """The directories of `--config-dir`, of `hydra.searchpath` and of `runs` as one override; empty without any."""
    flags = parse_flags(arguments)
    given = [word.partition("=")[2].strip("[]") for word in flags.overrides if word.startswith("hydra.searchpath=")]
    places = [Path(flags.config_dir).absolute()] if flags.config_dir else []
    places += [place for run in runs for place in read_config_directories(run)]
    quoted = [format_override_value(f"file://{place}") for place in dict.fromkeys(places)]
    listed = [*quoted, *filter(None, given)]
    return [f"hydra.searchpath=[{','.join(listed)}]"] if listed else []


def read_config_directories(run: Path) -> list[Path]:
    """The directories of the user from which a run was composed, as Hydra wrote them; those that still exist."""
    path = run / ".hydra" / "hydra.yaml"
    try:
        text = path.read_text()
        if set(PROVIDER.findall(text)) <= set(OTHER_PROVIDERS):  # as in nearly all runs: to parse YAML is slow
            return []
        return list_config_directories(load_yaml(text)["hydra"])
    except (OSError, ValueError, yaml.YAMLError, RecursionError, KeyError, TypeError):
        return []  # A run of another launcher, or without Hydra's files.


def list_config_directories(hydra: Mapping[str, Any]) -> list[Path]:
    """The directories of the user from which a command was composed; those that still exist. hydra: Hydra's node."""
    sources = hydra["runtime"]["config_sources"]
    places = [Path(source["path"]) for source in sources if source["provider"] not in OTHER_PROVIDERS]
    return [place for place in places if place.is_absolute() and place.is_dir()]


def list_directory_words(hydra: Mapping[str, Any]) -> list[str]:
    """The words of a command that name the user's directories. hydra: see `list_config_directories`."""
    return format_config_directories(list_config_directories(hydra))


def format_config_directories(places: Sequence[Path]) -> list[str]:
    """The words of a command that name these directories of the user."""
    first, others = [f"--config-dir={place}" for place in places[:1]], places[1:]
    quoted = [format_override_value(f"file://{place}") for place in others]
    return [*first, *([f"hydra.searchpath=[{','.join(quoted)}]"] if quoted else [])]


def require_global_files(choices: Mapping[str, str], directories: Sequence[Path]) -> None:
    """Check that the chosen files that set values of other groups say so, as Hydra would set `experiment.optimizer.lr`.

    choices: group → option. directories: those on the search path, the first one with a file counts.

    Raises:
        ConfigError: one does not.
    """
    own = choices.keys() - set(list_config_groups()) if "recipe" in choices else ()  # Not of another program.
    for group in [*GLOBAL_GROUPS, *sorted(own)]:
        names = [place / group / f"{choices.get(group)}.yaml" for place in directories]
        file = next((name for name in names if name.is_file()), None)
        if file is not None and not group.startswith("hydra/") and not PACKAGE.match(file.read_text(errors="replace")):
            raise ConfigError(format_not_global(f"{group}={choices[group]}"))


def format_not_global(choice: str) -> str:
    """The message for `group=option` whose file does not say that it sets values of other groups."""
    return f"{choice}: the first line of the file must be `# @package _global_`"
