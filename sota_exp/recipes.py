"""What a recipe sets inside a slot belongs to the option that it chose there.

`recipe=rsb_a2` gives stochastic depth a rate; `regularization/stochastic_depth=none` on top of it has none. `recipe=semi_supervised`
has mixup of alpha 0.5; `augmentation/mix=cutmix` on top of it has CutMix's own alpha. Hydra would keep the recipe's values all the
same, and changing a technique would take a second word.
"""

import functools
from typing import Any

import yaml

from sota_exp.composing import conf_directory


@functools.cache
def keys_set(recipe: str) -> frozenset[tuple[str, str]]:
    """(slot, key) of every value that a recipe, or one that it builds on, sets inside a slot; none for a recipe of the user's own."""
    content = _content(f"recipe/{recipe}")
    found = set()
    for group, values in content.items():
        if isinstance(values, dict) and (conf_directory() / group).is_dir():
            slots = {name: inside for name, inside in values.items() if (conf_directory() / group / name).is_dir()}
            found |= {(f"{group}/{slot}", key) for slot, inside in slots.items() for key in inside}
            found |= {(group, key) for key in values if key not in slots}
    return frozenset(found).union(*(keys_set(base) for base in _bases(content)))


@functools.cache
def options_chosen(recipe: str) -> dict[str, str]:
    """Slot → option, of those that a recipe, or one that it builds on, names."""
    content = _content(f"recipe/{recipe}")
    found = {slot: option for base in _bases(content) for slot, option in options_chosen(base).items()}
    for name, option in _pairs(content):
        group = name.removeprefix("override /")
        found |= {f"{group}/{slot}": inner for slot, inner in _pairs(_content(f"{group}/{option}"))}
        found[group] = option
    return found


def without_strangers(tree: dict[str, Any], choices: dict[str, str], said: list[str]) -> dict[str, Any]:
    """The values of a configuration, without those of its recipe for options that the recipe did not choose.

    said: the overrides; a value that one of them gives stays, right or wrong.
    """
    named = {text.lstrip("+~").partition("=")[0] for text in said}
    recipe = choices.get("recipe", "")
    for slot, key in keys_set(recipe):
        path, option = [*slot.split("/"), key], choices.get(slot, "")
        own = _content(f"{slot}/{option}")
        if "_target_" not in own or ".".join(path) in named:
            continue  # no slot, or the user's word
        if key not in own:
            tree = _without(tree, path)
        elif option != options_chosen(recipe).get(slot, option):
            tree = _with(tree, path, own[key])
    return tree


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
    return [pair for line in content.get("defaults", []) if isinstance(line, dict) for pair in line.items()]


def _bases(content: dict[str, Any]) -> list[str]:
    """The recipes that a recipe builds on."""
    return [name for name in content.get("defaults", []) if isinstance(name, str) and name != "_self_"]


@functools.cache
def _content(name: str) -> dict[str, Any]:
    """What a file of the configuration says; empty for one of the user's own."""
    file = conf_directory() / f"{name}.yaml"
    return (yaml.safe_load(file.read_text()) or {}) if file.is_file() else {}
