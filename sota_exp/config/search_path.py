"""The user's directories of YAML files: those of `--config-dir` and `hydra.searchpath`, and those that runs had."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import yaml
from hydra._internal.utils import get_args_parser

from sota_exp.config.formats import load_yaml
from sota_exp.config.values import format_override_value
from sota_exp.errors import raise_usage_error

#: Providers of Hydra's search path that are not of the user.
OTHER_PROVIDERS = ("hydra", "main", "schema")


def parse_flags(arguments: list[str]) -> Namespace:
    """The flags of Hydra's command line, and the overrides.

    Raises:
        ConfigError: there is no such flag, or its value is missing.
    """
    parser = get_args_parser()
    parser.error = raise_usage_error  # type: ignore[method-assign]
    return parser.parse_intermixed_args(arguments)


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
    try:
        written = load_yaml((run / ".hydra" / "hydra.yaml").read_text())
        sources = written["hydra"]["runtime"]["config_sources"]
        places = [Path(source["path"]) for source in sources if source["provider"] not in OTHER_PROVIDERS]
    except (OSError, ValueError, yaml.YAMLError, RecursionError, KeyError, TypeError):
        return []  # A run of another launcher, or without Hydra's files.
    return [place for place in places if place.is_absolute() and place.is_dir()]
