"""What a recipe sets inside a slot belongs to the option that it chose there.

`recipe=rsb_a2` gives stochastic depth a rate; `regularization/stochastic_depth=none` on top of it has none. Hydra would keep the
rate all the same, and switching a technique off would take a second word.
"""

import functools
from typing import Any

import yaml

from sota_exp.composing import conf_directory


@functools.cache
def keys_set(recipe: str) -> frozenset[tuple[str, str]]:
    """(slot, key) of every value that a recipe, or one that it builds on, sets inside a slot; none for a recipe of the user's own."""
    file = conf_directory() / "recipe" / f"{recipe}.yaml"
    if not file.is_file():
        return frozenset()
    content = yaml.safe_load(file.read_text()) or {}
    bases = [name for name in content.get("defaults", []) if isinstance(name, str) and name != "_self_"]
    own = {
        (f"{group}/{slot}", key)
        for group, slots in content.items()
        if isinstance(slots, dict) and (conf_directory() / group).is_dir()
        for slot, values in slots.items()
        if isinstance(values, dict)
        for key in values
    }
    return frozenset(own).union(*(keys_set(base) for base in bases))


@functools.cache
def keys_of(slot: str, option: str) -> frozenset[str] | None:
    """The keys that an option has; None for an option of the user's own."""
    file = conf_directory() / slot / f"{option}.yaml"
    return frozenset(yaml.safe_load(file.read_text())) if file.is_file() else None


def without_strangers(tree: dict[str, Any], choices: dict[str, str], said: list[str]) -> dict[str, Any]:
    """The values of a configuration, without those of its recipe for options that have no such key.

    said: the overrides; a value that one of them gives stays, right or wrong.
    """
    named = {text.lstrip("+~").partition("=")[0] for text in said}
    for slot, key in keys_set(choices.get("recipe", "")):
        known = keys_of(slot, choices.get(slot, ""))
        group, _, name = slot.partition("/")
        if known is not None and key not in known and f"{group}.{name}.{key}" not in named:
            node = {each: value for each, value in tree[group][name].items() if each != key}
            tree = {**tree, group: {**tree[group], name: node}}
    return tree
