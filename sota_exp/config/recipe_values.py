"""Drops values that a recipe or an experiment set for an option when another option is chosen in that slot.

`recipe=semi_supervised` sets alpha 0.5 for mixup; with `augmentation/mix=cutmix` the alpha is CutMix's default.
`recipe=rsb_a2` sets a rate of stochastic depth; with `regularization/stochastic_depth=none` there is none. Hydra alone
would keep the recipe's values, and changing a technique would take a second override.
"""

import copy
import functools
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from sota_exp import CONF
from sota_exp.config.hydra_compose import compose_with_hydra, list_config_groups
from sota_exp.config.search_path import require_global_files
from sota_exp.config.values import flatten, format_override_value

SearchDirectories = tuple[Path, ...]

#: Slots whose values a recipe sets for every option: recipes choose no data set, and their image size is for all.
SLOTS_WITH_SHARED_VALUES = ("data",)


def get_search_directories(hydra: Any) -> SearchDirectories:
    """The directories on the search path in Hydra's node `hydra`: this package's, then the user's."""
    found: list[Path] = []
    for source in hydra.runtime.config_sources:
        if source.schema == "file":
            found.append(Path(str(source.path)))
        elif source.schema == "pkg" and not str(source.path).startswith("hydra"):
            spec = importlib.util.find_spec(str(source.path).replace("/", "."))
            found += [Path(location) for location in (spec.submodule_search_locations or [])] if spec else []
    return tuple(found)


def list_own_directories() -> list[Path]:
    """The user's directories, while Hydra runs a command."""
    from hydra.core.hydra_config import HydraConfig

    return [place for place in get_search_directories(HydraConfig.get()) if place != CONF]


def extract_run(config: DictConfig) -> tuple[DictConfig, dict[str, str]]:
    """Split what Hydra composed into the run's configuration and its choices; `config` is changed.

    Replaced values are dropped from the configuration, as by `drop_replaced_values`.

    Raises:
        ConfigError: the file of a recipe or an experiment does not say that it sets values of other groups.
    """
    found = config.hydra.runtime.choices.items()
    choices = {str(group): str(option) for group, option in found if not str(group).startswith("hydra/")}
    overrides, directories = list(config.hydra.overrides.task), get_search_directories(config.hydra)
    with open_dict(config):
        del config["hydra"]
    _drop_of_presets(config, choices, overrides, directories)
    return config, choices


def drop_replaced_values(
    config: DictConfig, choices: dict[str, str], overrides: Sequence[str], directories: SearchDirectories
) -> DictConfig:
    """A copy of the configuration, unresolved, without values that presets set for options that are no longer chosen.

    The presets are the recipe, then the experiments. A value that a later preset or one of `overrides` sets is kept.
    directories: see `get_search_directories`.

    Raises:
        ConfigError: the file of one of them does not say that it sets values of other groups.
    """
    cleaned = copy.deepcopy(config)
    _drop_of_presets(cleaned, choices, overrides, directories)
    return cleaned


def _drop_of_presets(
    cleaned: DictConfig, choices: dict[str, str], overrides: Sequence[str], directories: SearchDirectories
) -> None:
    """Drop the values of all presets from `cleaned`; see `drop_replaced_values`."""
    require_global_files(choices, directories)
    keys = [text.lstrip("+~").partition("=")[0] for text in overrides]
    presets = list_presets(choices)
    for index, preset in enumerate(presets):
        later = [key for name in presets[index + 1 :] for key in list_preset_keys(name, directories)]
        before = tuple("+{0}={2}".format(*name.rpartition("/")) for name in presets[: index + 1])
        _drop_of_preset(cleaned, preset, before, [*later, *keys], choices, directories)


def list_presets(choices: dict[str, str]) -> list[str]:
    """`recipe/NAME`, then `group/NAME` of each chosen experiment: of `experiment` and of groups of the user."""
    known = set(list_config_groups()) - {"experiment"}
    others = {group: name for group, name in choices.items() if group not in known and not group.startswith("hydra/")}
    own = [f"{group}/{name}" for group, name in others.items() if name != "None"]
    return [f"recipe/{choices.get('recipe', '')}", *own]


def _drop_of_preset(
    cleaned: DictConfig,
    preset: str,
    before: tuple[str, ...],
    keys: Sequence[str],
    choices: dict[str, str],
    directories: SearchDirectories,
) -> None:
    """Drop the values of one preset from `cleaned`. before: overrides of the presets up to it. keys: set after it."""
    values = [key for key in keys if not _is_group(key, directories)]
    for slot, key in sorted(list_slot_values(preset, directories)):
        path, option = f"{slot.replace('/', '.')}.{key}", choices.get(slot, "")
        own = _read_content(f"{slot}/{option}", directories)
        if "_target_" not in own or "defaults" in own or any(f"{path}.".startswith(f"{word}.") for word in values):
            continue  # Not a slot, an option with a defaults list, or a value that is set later.
        replaced = _find_replaced(slot, option, before, keys, directories)
        if key in own and replaced is not None:
            OmegaConf.update(cleaned, path, own[key], merge=False)
        elif key not in own and (
            preset.startswith("recipe/") or key in _read_content(f"{slot}/{replaced}", directories)
        ):
            with open_dict(cleaned):
                OmegaConf.select(cleaned, slot.replace("/", ".")).pop(key, None)


def _find_replaced(
    slot: str, option: str, before: tuple[str, ...], keys: Sequence[str], directories: SearchDirectories
) -> str | None:
    """The option that the presets in `before` chose, if `keys` chose another one."""
    if slot in SLOTS_WITH_SHARED_VALUES or not any(f"{slot}/".startswith(f"{key}/") for key in keys):
        return None
    chosen = _read_choices(before, directories).get(slot, option)
    return chosen if chosen != option else None


@functools.cache
def _read_choices(presets: tuple[str, ...], directories: SearchDirectories) -> dict[str, str]:
    """Slot → option of presets without further overrides."""
    others = [f"file://{place}" for place in directories if place != CONF]
    config = compose_with_hydra([*presets, f"hydra.searchpath={format_override_value(others)}"])
    return {str(slot): str(option) for slot, option in config.hydra.runtime.choices.items()}


@functools.cache
def _read_content(name: str, directories: SearchDirectories) -> dict[str, Any]:
    """The content of the first YAML file of that name in `directories`; empty if there is none."""
    file = next((file for file in (place / f"{name}.yaml" for place in directories) if file.is_file()), None)
    found = OmegaConf.to_container(OmegaConf.load(file)) if file is not None else {}
    return {str(key): value for key, value in found.items()} if isinstance(found, dict) else {}


@functools.cache
def list_slot_values(preset: str, directories: SearchDirectories) -> frozenset[tuple[str, str]]:
    """(slot, key) of all values that a preset and those of its group in its defaults list set inside slots."""
    found = set()
    for content in _read_contents(preset, directories):
        for group, values in content.items():
            if isinstance(values, dict) and _is_group(group, directories):
                slots = {name for name in values if _is_group(f"{group}/{name}", directories)}
                inside = {name: values[name] for name in slots if isinstance(values[name], dict)}
                found |= {(f"{group}/{slot}", key) for slot, given in inside.items() for key in given}
                found |= {(group, key) for key in values if key not in slots}
    return frozenset(found)


def list_preset_keys(preset: str, directories: SearchDirectories) -> list[str]:
    """The groups and dotted keys that a preset sets, as if they were overrides."""
    contents = _read_contents(preset, directories)
    lines = [line for content in contents for line in content.get("defaults", []) if isinstance(line, dict)]
    groups = [
        str(key).removeprefix("override ").strip().lstrip("/").partition("@")[0] for line in lines for key in line
    ]
    values = [key for content in contents for key in flatten(content) if key != "defaults"]
    return [*groups, *values]


def _read_contents(preset: str, directories: SearchDirectories) -> list[dict[str, Any]]:
    """The contents of a preset and of those of its group in its defaults list."""
    group, content = preset.rpartition("/")[0], _read_content(preset, directories)
    lines = [line for line in content.get("defaults", []) if isinstance(line, str) and line != "_self_"]
    inherited = [_read_contents(f"{group}/{line.removeprefix(f'/{group}/')}", directories) for line in lines]
    return [content, *(each for found in inherited for each in found)]


def _is_group(name: str, directories: SearchDirectories) -> bool:
    return any((place / name).is_dir() for place in directories)
