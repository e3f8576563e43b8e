"""Converts a configuration back into the overrides that compose it, so that other overrides can be added."""

import re
from collections.abc import Sequence
from typing import Any, cast

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sota_exp.config.configuration import NON_RUN_KEYS, Configuration, resolve_configuration
from sota_exp.config.hydra_compose import compose_with_hydra, list_config_groups
from sota_exp.config.hydra_errors import format_hydra_error
from sota_exp.config.recipe_values import extract_run
from sota_exp.config.values import find_presets, flatten, format_override_value, get_override_key
from sota_exp.errors import ConfigError

#: Keys, groups and options of a run.
PLAIN_NAME = re.compile(r"[\w./@-]+")


def compose_configuration(overrides: list[str]) -> Configuration:
    """Compose overrides into a configuration; a ConfigError if an override is not legal."""
    config, choices = _compose_run(overrides)
    return resolve_configuration(config, choices, overrides)


def _compose_run(overrides: list[str]) -> tuple[DictConfig, dict[str, str]]:
    """Compose overrides into a configuration that is not resolved, and its choices."""
    try:
        return extract_run(compose_with_hydra(overrides))
    except (HydraException, OmegaConfBaseException, TypeError) as error:
        raise ConfigError(format_hydra_error(error, overrides)) from error


def _list_interpolated_keys(config: DictConfig) -> set[str]:
    """The dotted keys whose value is an interpolation."""
    written = cast(dict[str, Any], OmegaConf.to_container(config, resolve=False))
    return {key for key, value in flatten(written).items() if isinstance(value, str) and "${" in value}


def configuration_to_overrides(
    configuration: Configuration, changes: list[str], search_path: Sequence[str] = ()
) -> list[str]:
    """Overrides for a configuration: its options, then the values that differ from the options' defaults.

    changes: overrides that will be added; the groups whose option they choose are left out.
    search_path: the override of `hydra.searchpath`; it is not part of the result.

    An interpolated value, such as the image size of the data, is left out if it follows from the other overrides.

    Raises:
        ConfigError: it has a key or an option that no run has, such as Hydra's own: its file is a stranger's.
    """
    require_plain_names(configuration)
    changed = {get_override_key(change) for change in changes} & set(list_config_groups())
    options = [
        f"{group}={option}"
        for group, option in configuration.choices.items()
        if group.split("/")[0] in configuration.values and not any(f"{group}/".startswith(f"{new}/") for new in changed)
    ]
    free = [f"{new.replace('/', '.')}." for new in changed]
    return [*options, *find_missing_values(options, configuration.values, free, search_path)]


def require_plain_names(configuration: Configuration) -> None:
    """Check that keys and options of a configuration that was read from a file are names of a run, and nothing else.

    Raises:
        ConfigError: one is not.
    """
    keys = [*flatten(configuration.values), *configuration.choices]
    for name in (*keys, *configuration.choices.values()):
        if not PLAIN_NAME.fullmatch(name) or (name in keys and re.split(r"[./]", name)[0] in NON_RUN_KEYS):
            raise ConfigError(f"{name}: no key or option of a run, so its configuration is not one of sota-exp")


def find_missing_values(
    overrides: list[str], tree: dict[str, Any], free: list[str], search_path: Sequence[str] = ()
) -> list[str]:
    """Overrides for values of `tree` that `overrides` do not compose, without keys that have a prefix in `free`.

    Interpolated values are added only if they still differ after all other values are set.
    """
    values: list[str] = []
    for with_derived in (False, True):
        composed = [*search_path, *overrides, *values]
        config, choices = _compose_run(composed)
        derived = _list_interpolated_keys(config)
        current = flatten(resolve_configuration(config, choices, composed).values)
        differing = {
            key: f"{key}={format_override_value(value)}"
            for key, value in flatten(tree).items()
            if current.get(key, ...) != value and not key.startswith(tuple(free))
        }
        values += [text for key, text in differing.items() if with_derived or key not in derived]
        if not differing.keys() & derived:
            break
    return values


def find_shortest_changes(one: Configuration, other: Configuration, search_path: Sequence[str] = ()) -> list[str]:
    """A short list of overrides that, added to those of `one`, composes `other`.

    A preset replaces the overrides of its slots where this makes the list shorter. A ConfigError if the overrides do
    not compose, for example because an option has no file.
    """
    if one.values == other.values:
        return []
    after = {group: option for group, option in other.choices.items() if group.split("/")[0] in other.values}
    options = _options_between(one.choices, after, search_path)
    base = [*configuration_to_overrides(one, options, search_path), *options]
    return [*options, *find_missing_values(base, other.values, [], search_path)]


def _options_between(before: dict[str, str], after: dict[str, str], search_path: Sequence[str]) -> list[str]:
    """The overrides that change choices `before` into `after`, with presets where this is shorter."""
    presets = find_presets(after)
    slots = [slot for slot in after if slot not in presets]
    differing = [slot for slot in slots if before.get(slot) != after[slot]]
    short = {preset for preset in presets if len(_inside(preset, differing)) > 1}
    if not short:
        return [f"{slot}={after[slot]}" for slot in differing]
    kept = {group: option for group, option in {**before, **after}.items() if not _inside_any(short, group)}
    choosing = [f"{group}={option}" for group, option in kept.items() if group in after]
    chosen = compose_configuration([*search_path, *choosing]).choices
    odd = [slot for slot in slots if chosen.get(slot) != after[slot]]
    short = {preset for preset in short if 1 + len(_inside(preset, odd)) < len(_inside(preset, differing))}
    groups = [*sorted(short), *(slot for slot in slots if slot in (odd if _inside_any(short, slot) else differing))]
    return [f"{group}={after[group]}" for group in groups]


def _inside(preset: str, slots: list[str]) -> list[str]:
    return [slot for slot in slots if slot.startswith(f"{preset}/")]


def _inside_any(presets: set[str], slot: str) -> bool:
    return any(slot.startswith(f"{preset}/") for preset in presets)
