"""Drops values that a recipe set for an option when another option is chosen in that slot.

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


def extract_run(config: DictConfig) -> tuple[DictConfig, dict[str, str]]:
    """Split what Hydra composed into the run's configuration, cleaned by `drop_replaced_values`, and its choices."""
    found = config.hydra.runtime.choices.items()
    choices = {str(group): str(option) for group, option in found if not str(group).startswith("hydra/")}
    overrides, directories = list(config.hydra.overrides.task), get_search_directories(config.hydra)
    with open_dict(config):
        del config["hydra"]
    return drop_replaced_values(config, choices, overrides, directories), choices


def drop_replaced_values(
    config: DictConfig, choices: dict[str, str], overrides: Sequence[str], directories: SearchDirectories
) -> DictConfig:
    """The configuration, unresolved, without values that the recipe set for options that are no longer chosen.

    overrides: a value that one of them sets is kept. directories: see `get_search_directories`.
    """
    keys = [text.lstrip("+~").partition("=")[0] for text in overrides]
    values = [key for key in keys if not _is_group(key, directories)]
    recipe, cleaned = choices.get("recipe", ""), copy.deepcopy(config)
    for slot, key in sorted(list_recipe_keys(recipe, directories)):
        path, option = f"{slot.replace('/', '.')}.{key}", choices.get(slot, "")
        own = _content(f"{slot}/{option}", directories)
        if "_target_" not in own or "defaults" in own or any(f"{path}.".startswith(f"{word}.") for word in values):
            continue  # Not a slot, an option with a defaults list, or a value that an override sets.
        if key not in own:
            with open_dict(cleaned):
                OmegaConf.select(cleaned, slot.replace("/", ".")).pop(key, None)
        elif _is_replaced(slot, option, recipe, keys, directories):
            OmegaConf.update(cleaned, path, own[key], merge=False)
    return cleaned


def _is_replaced(slot: str, option: str, recipe: str, keys: Sequence[str], directories: SearchDirectories) -> bool:
    """Whether the overrides chose another option than the recipe does."""
    if slot in SLOTS_WITH_SHARED_VALUES or not any(f"{slot}/".startswith(f"{key}/") for key in keys):
        return False
    return _choices_of(recipe, directories).get(slot, option) != option


@functools.cache
def _choices_of(recipe: str, directories: SearchDirectories) -> dict[str, str]:
    """Slot → option of a recipe without further overrides."""
    from sota_exp.config.hydra_compose import compose_with_hydra
    from sota_exp.config.values import format_override_value

    others = [f"file://{place}" for place in directories if place != CONF]
    config = compose_with_hydra([f"recipe={recipe}", f"hydra.searchpath={format_override_value(others)}"])
    return {str(slot): str(option) for slot, option in config.hydra.runtime.choices.items()}


@functools.cache
def _content(name: str, directories: SearchDirectories) -> dict[str, Any]:
    """The content of the first YAML file of that name in `directories`; empty if there is none."""
    file = next((file for file in (place / f"{name}.yaml" for place in directories) if file.is_file()), None)
    found = OmegaConf.to_container(OmegaConf.load(file)) if file is not None else {}
    return {str(key): value for key, value in found.items()} if isinstance(found, dict) else {}


@functools.cache
def list_recipe_keys(recipe: str, directories: SearchDirectories) -> frozenset[tuple[str, str]]:
    """(slot, key) of all values that a recipe and the recipes in its defaults list set inside slots."""
    content = _content(f"recipe/{recipe}", directories)
    found = set()
    for group, values in content.items():
        if isinstance(values, dict) and _is_group(group, directories):
            slots = {name for name in values if _is_group(f"{group}/{name}", directories)}
            inside = {name: values[name] for name in slots if isinstance(values[name], dict)}
            found |= {(f"{group}/{slot}", key) for slot, given in inside.items() for key in given}
            found |= {(group, key) for key in values if key not in slots}
    lines = [line for line in content.get("defaults", []) if isinstance(line, str) and line != "_self_"]
    return frozenset(found).union(*(list_recipe_keys(line.removeprefix("/recipe/"), directories) for line in lines))


def _is_group(name: str, directories: SearchDirectories) -> bool:
    return any((place / name).is_dir() for place in directories)
