"""What a recipe sets inside a slot belongs to the option that it chose there.

`recipe=rsb_a2` gives stochastic depth a rate; `regularization/stochastic_depth=none` on top of it has none. `recipe=semi_supervised`
has mixup of alpha 0.5; `augmentation/mix=cutmix` on top of it has CutMix's own alpha. Hydra would keep the recipe's values all the
same, and changing a technique would take a second word.
"""

import copy
import functools
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

Directories = tuple[Path, ...]

#: A recipe chooses no data: the size that it says is meant for all.
FOR_ANY = ("data",)


def directories_of(hydra: Any) -> Directories:
    """Where a configuration was looked for, by Hydra's own node of it: our files, then the user's."""
    found: list[Path] = []
    for source in hydra.runtime.config_sources:
        if source.schema == "file":
            found.append(Path(str(source.path)))
        elif source.schema == "pkg" and not str(source.path).startswith("hydra"):
            spec = importlib.util.find_spec(str(source.path).replace("/", "."))
            found += [Path(place) for place in (spec.submodule_search_locations or [])] if spec else []
    return tuple(found)


def run_in(config: DictConfig) -> tuple[DictConfig, dict[str, str]]:
    """The run's part of what Hydra composed, without its own node and without strangers, and the option in every group."""
    found = config.hydra.runtime.choices.items()
    choices = {str(group): str(option) for group, option in found if not str(group).startswith("hydra/")}
    said, directories = list(config.hydra.overrides.task), directories_of(config.hydra)
    with open_dict(config):
        del config["hydra"]
    return without_strangers(config, choices, said, directories), choices


def without_strangers(
    config: DictConfig, choices: dict[str, str], said: Sequence[str], directories: Directories
) -> DictConfig:
    """The configuration, unresolved, without the values of its recipe for options that the recipe did not choose.

    said: the overrides; a value that one of them gives stays, right or wrong. directories: see `directories_of`.
    """
    words = [text.lstrip("+~").partition("=")[0] for text in said]
    values = [word for word in words if not _is_group(word, directories)]
    recipe, made = choices.get("recipe", ""), None
    for slot, key in sorted(keys_set(recipe, directories)):
        path, option = f"{slot.replace('/', '.')}.{key}", choices.get(slot, "")
        own = _content(f"{slot}/{option}", directories)
        if "_target_" not in own or "defaults" in own or any(f"{path}.".startswith(f"{word}.") for word in values):
            continue  # no slot, an option that others complete, or the user's word
        is_stranger = key not in own
        if not is_stranger and not _is_anothers(slot, option, recipe, words, directories):
            continue
        if made is None:
            made = copy.deepcopy(config)
        with open_dict(made):
            if is_stranger:
                OmegaConf.select(made, slot.replace("/", ".")).pop(key, None)
            else:
                OmegaConf.update(made, path, own[key], merge=False)
    return config if made is None else made


def _is_anothers(slot: str, option: str, recipe: str, words: Sequence[str], directories: Directories) -> bool:
    """Whether the command chose another option than the recipe has by itself."""
    if slot in FOR_ANY or not any(f"{slot}/".startswith(f"{word}/") for word in words):
        return False
    return _choices_of(recipe, directories).get(slot, option) != option


@functools.cache
def _choices_of(recipe: str, directories: Directories) -> dict[str, str]:
    """Slot → option of a recipe by itself, as Hydra composes it."""
    from sota_exp.config.hydra_compose import by_hydra, conf_directory
    from sota_exp.config.values import shown

    others = [f"file://{place}" for place in directories if place != conf_directory()]
    config = by_hydra([f"recipe={recipe}", f"hydra.searchpath={shown(others)}"])
    return {str(slot): str(option) for slot, option in config.hydra.runtime.choices.items()}


@functools.cache
def _content(name: str, directories: Directories) -> dict[str, Any]:
    """What the file of an option says, the first of that name; empty where there is none."""
    file = next((file for file in (place / f"{name}.yaml" for place in directories) if file.is_file()), None)
    found = OmegaConf.to_container(OmegaConf.load(file)) if file is not None else {}
    return {str(key): value for key, value in found.items()} if isinstance(found, dict) else {}


@functools.cache
def keys_set(recipe: str, directories: Directories) -> frozenset[tuple[str, str]]:
    """(slot, key) of every value that a recipe, or one that it builds on, sets inside a slot."""
    content = _content(f"recipe/{recipe}", directories)
    found = set()
    for group, values in content.items():
        if isinstance(values, dict) and _is_group(group, directories):
            slots = {name for name in values if _is_group(f"{group}/{name}", directories)}
            inside = {name: values[name] for name in slots if isinstance(values[name], dict)}
            found |= {(f"{group}/{slot}", key) for slot, given in inside.items() for key in given}
            found |= {(group, key) for key in values if key not in slots}
    lines = [line for line in content.get("defaults", []) if isinstance(line, str) and line != "_self_"]
    return frozenset(found).union(*(keys_set(line.removeprefix("/recipe/"), directories) for line in lines))


def _is_group(name: str, directories: Directories) -> bool:
    return any((place / name).is_dir() for place in directories)
