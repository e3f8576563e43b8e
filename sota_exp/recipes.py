"""What a recipe sets inside a slot belongs to the option that it chose there.

`recipe=rsb_a2` gives stochastic depth a rate; `regularization/stochastic_depth=none` on top of it has none. `recipe=semi_supervised`
has mixup of alpha 0.5; `augmentation/mix=cutmix` on top of it has CutMix's own alpha. Hydra would keep the recipe's values all the
same, and changing a technique would take a second word.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

Directories = tuple[Path, ...]


def directories_of(hydra: Any) -> Directories:
    """Where a configuration was looked for, by Hydra's own node of it: our files, then the user's."""
    sources = [source for source in hydra.runtime.config_sources if source.schema == "file"]
    return tuple(Path(str(source.path)) for source in sources)


@functools.cache
def file_content(name: str, directories: Directories) -> dict[str, Any]:
    """What the file of an option says, the first of that name; empty where there is none."""
    file = next((file for file in (place / f"{name}.yaml" for place in directories) if file.is_file()), None)
    return (yaml.safe_load(file.read_text()) or {}) if file is not None else {}


@functools.cache
def keys_set(recipe: str, directories: Directories) -> frozenset[tuple[str, str]]:
    """(slot, key) of every value that a recipe, or one that it builds on, sets inside a slot."""
    content = file_content(f"recipe/{recipe}", directories)
    found = set()
    for group, values in content.items():
        if isinstance(values, dict) and _is_group(group, directories):
            slots = {name: inside for name, inside in values.items() if _is_group(f"{group}/{name}", directories)}
            found |= {(f"{group}/{slot}", key) for slot, inside in slots.items() for key in inside}
            found |= {(group, key) for key in values if key not in slots}
    return frozenset(found).union(*(keys_set(base, directories) for base in _bases(content)))


@functools.cache
def options_chosen(recipe: str, directories: Directories) -> dict[str, str]:
    """Slot → option, of those that a recipe, or one that it builds on, names."""
    content = file_content(f"recipe/{recipe}", directories)
    found: dict[str, str] = {}
    for base in _bases(content):
        found |= options_chosen(base, directories)
    for name, option in _pairs(content):
        group = name.removeprefix("override /")
        inside = _pairs(file_content(f"{group}/{option}", directories))
        found |= {group: option, **{f"{group}/{slot}": inner for slot, inner in inside}}
    return found


def without_strangers(
    tree: dict[str, Any], choices: dict[str, str], said: Sequence[str], directories: Directories
) -> dict[str, Any]:
    """The values of a configuration, without those of its recipe for options that the recipe did not choose.

    said: the overrides; a value that one of them gives stays, right or wrong. directories: see `directories_of`.
    """
    named = {text.lstrip("+~").partition("=")[0] for text in said}
    recipe = choices.get("recipe", "")
    for slot, key in keys_set(recipe, directories):
        path, option = [*slot.split("/"), key], choices.get(slot, "")
        own = file_content(f"{slot}/{option}", directories)
        if "_target_" not in own or ".".join(path) in named:
            continue  # no slot, or the user's word
        if key not in own:
            tree = _without(tree, path)
        elif option != options_chosen(recipe, directories).get(slot, option):
            tree = _with(tree, path, own[key])
    return tree


def _is_group(name: str, directories: Directories) -> bool:
    return any((place / name).is_dir() for place in directories)


def _with(tree: dict[str, Any], path: list[str], value: object) -> dict[str, Any]:
    """A copy of `tree` with `value` at `path`."""
    name, *rest = path
    return {**tree, name: _with(tree[name], rest, value) if rest else value}


def _without(tree: dict[str, Any], path: list[str]) -> dict[str, Any]:
    """A copy of `tree` without what is at `path`."""
    name, *rest = path
    if rest:
        return {**tree, name: _without(tree[name], rest)}
    return {key: value for key, value in tree.items() if key != name}


def _pairs(content: dict[str, Any]) -> list[tuple[str, str]]:
    """(group, option) of every line of a defaults list that chooses one."""
    lines = [line for line in content.get("defaults", []) if isinstance(line, dict)]
    return [(str(group), str(option)) for line in lines for group, option in line.items()]


def _bases(content: dict[str, Any]) -> list[str]:
    """The recipes that a recipe builds on."""
    return [name for name in content.get("defaults", []) if isinstance(name, str) and name != "_self_"]
