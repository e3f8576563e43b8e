"""The overrides that compose a finished run's configuration again, so that others can be added to them."""

from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import open_dict
from omegaconf.errors import OmegaConfBaseException

from sota_exp.composing import conf_directory, config_groups, in_one_line, register_resolvers
from sota_exp.config import resolve
from sota_exp.errors import ConfigError


def group_of(override: str) -> str:
    """The part of an override before its value, `evaluation/tta` of `evaluation/tta=flip`."""
    return override.lstrip("+~").partition("=")[0].partition("@")[0]


def composed(overrides: list[str]) -> tuple[dict[str, str], dict[str, Any]]:
    """The option in every slot, and the resolved values, of the configuration that `overrides` compose.

    Raises:
        ConfigError: they don't.
    """
    register_resolvers()
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(conf_directory())):
            config = compose("config", overrides, return_hydra_config=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(in_one_line(error, overrides)) from error
    chosen = {str(group): str(option) for group, option in config.hydra.runtime.choices.items()}
    with open_dict(config):
        del config["hydra"]
    return {group: option for group, option in chosen.items() if not group.startswith("hydra/")}, resolve(config)


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
    given = leaves(composed(options)[1])
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
