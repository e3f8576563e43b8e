"""What a run is, as a hash: equal for equal configuration and equal content, wherever files lie and whoever watches.

The training fingerprint covers all that changes the trained weights; the run's own adds how they are evaluated.
"""

import typing
from collections.abc import Mapping
from typing import Any

from sota_exp.config.build import field_types, inert_values, is_branch, locate
from sota_exp.config.catalog import PLAIN
from sota_exp.config.formats import is_neutral, target_of, typed_key
from sota_exp.config.hashing import digest

#: Raised when a change of code changes the numbers of an unchanged configuration; the golden losses in
#: tests/golden_losses.json guard it.
NUMERICS_VERSION = 6

#: Groups that change neither weights nor scores, where files are, what watches, on what they are computed; and evaluation, whose
#: default view alone the training looks through: validation chooses the best epoch, label propagation reads features.
NOT_MEANT = ("tracking", "runtime", "recipe", "scale", "evaluation")

#: Keys of the data group that say where its files are; what is in them comes with the set's digest.
PLACES = ("root", "cache", "path", "store_gigabytes")

#: Keys of stages that say where a file is; its content is hashed instead.
PATHS = ("path", "store", "labelled_file")


def training_fingerprint(tree: dict[str, Any], content: dict[str, str]) -> str:
    """Hash of a resolved configuration and of `content`: hashes of images, initial weights, teacher, given labels."""
    meant = {name: value for name, value in meaning(tree).items() if name not in NOT_MEANT}
    meant["data"] = {name: value for name, value in meant["data"].items() if name not in PLACES}
    for group, slot in (("model", "weights"), ("regularization", "distillation")):
        meant[group] = {**meant[group], slot: _without_paths(meant[group].get(slot, {}))}
    meant["supervision"] = _without_paths(meant.get("supervision", {}))
    meant["validated_at"] = {name: tree["evaluation"]["resolution"].get(name) for name in ("size", "crop_ratio")}
    meant["precision"] = tree["runtime"]["precision"]
    return digest({"numerics": NUMERICS_VERSION, "meant": meant, "content": content})


def fingerprint(training: str, tree: dict[str, Any]) -> str:
    """Hash of the training and of how its weights are evaluated."""
    return digest({"training": training, "evaluation": meaning(tree)["evaluation"]})


def meaning(tree: Mapping[str, Any]) -> dict[str, Any]:
    """What a configuration says, once for all that say the same: without slots whose option does nothing and without values
    that do nothing, so that a slot or a field that is added later leaves it as it was; a whole number where a float belongs is one.
    """
    from sota_exp.config.experiment import Experiment  # here, since it imports torch

    return _of_group(tree, Experiment, "")


def _of_group(tree: Mapping[str, Any], cls: type, key: str) -> dict[str, Any]:
    types, inert = field_types(typing.cast(Any, cls)), inert_values(cls)
    found: dict[str, Any] = {}
    for name, value in tree.items():
        kind, path = types.get(name), f"{key}.{name}".lstrip(".")
        if isinstance(value, Mapping) and ("_option_" in value or "_target_" in value):
            found |= {name: meant} if (meant := option_meaning(value, path)) else {}
        elif isinstance(value, Mapping) and is_branch(kind):
            found[name] = _of_group(value, typing.cast(type, kind), path)
        elif inert.get(name, ...) != value:
            found[name] = _typed(value, kind)
    return found


def option_meaning(node: Mapping[str, Any], key: str) -> dict[str, Any]:
    """An option's name and values; empty for one that does nothing, or only what must be done somehow."""
    slot, option = key.replace(".", "/"), node.get("_option_")
    if option is not None and is_neutral(slot, option):
        return {}
    path = target_of(node, key)
    found = _of_group({name: value for name, value in node.items() if not name.startswith("_")}, _class(path, key), key)
    if option is not None and PLAIN.get(slot) == option and not found:
        return {}
    return {"option": option or path, **found}


def _class(path: str | None, key: str) -> type:
    found = locate(str(path), key)
    assert isinstance(found, type)
    return found


def _typed(value: Any, kind: Any) -> Any:
    if isinstance(value, list):
        return [_typed(item, next(iter(typing.get_args(kind)), None)) for item in value]
    is_float = kind is float or float in typing.get_args(kind)
    return float(value) if is_float and isinstance(value, int) and not isinstance(value, bool) else value


def _without_paths(node: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in node.items() if name not in PATHS}


def differences(one: dict[str, Any], other: dict[str, Any], key: str = "") -> list[str]:
    """`key: value → value` for every leaf that differs between two resolved configurations."""
    found = []
    for name in sorted({*one, *other}):
        path = typed_key(f"{key}.{name}" if key else name)
        first, second = one.get(name), other.get(name)
        if isinstance(first, dict) and isinstance(second, dict):
            found += differences(first, second, path)
        elif first != second:
            found.append(f"{path}: {first} → {second}")
    return found
