"""The overrides that compose a finished run's configuration again, so that others can be added to them."""

from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from sota_exp.composing import conf_directory, config_groups, register_resolvers
from sota_exp.config import resolve


def group_of(override: str) -> str:
    """The part of an override before its value, `evaluation/tta` of `evaluation/tta=flip`."""
    return override.lstrip("+~").partition("=")[0].partition("@")[0]


def overrides_of(choices: dict[str, str], tree: dict[str, Any], changes: list[str]) -> list[str]:
    """The options chosen in a run, then every value that they do not give, but for groups that `changes` chooses anew.

    What an option computes from another key, as a size from the data's, is not listed: it follows the changes.
    """
    anew = {group_of(change) for change in changes} & set(config_groups())
    options = [
        f"{group}={option}"
        for group, option in choices.items()
        if group.split("/")[0] in tree and not any(f"{group}/".startswith(f"{new}/") for new in anew)
    ]
    register_resolvers()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_directory())):
        given = leaves(resolve(compose("config", options)))
    paths = [f"{new.replace('/', '.')}." for new in anew]
    values = [
        f"{key}={shown(value)}"
        for key, value in leaves(tree).items()
        if given.get(key, ...) != value and not any(key.startswith(path) for path in paths)
    ]
    return [*options, *values]


def leaves(tree: dict[str, Any], key: str = "") -> dict[str, Any]:
    """Every value of a nested configuration by its dotted key."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        path = f"{key}.{name}" if key else name
        found |= leaves(value, path) if isinstance(value, dict) else {path: value}
    return found


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
