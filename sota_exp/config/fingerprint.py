"""Fingerprints of runs: equal for equal configurations and equal file contents, whatever the paths and the tracking.

The training fingerprint covers everything that changes the trained weights. The run's fingerprint adds the evaluation.
"""

import typing
from collections.abc import Mapping
from typing import Any

from sota_exp.config.build import get_field_types, get_inert_values, import_class, is_config_class
from sota_exp.config.catalog import DEFAULT_OPTIONS
from sota_exp.config.formats import get_target, is_neutral_option, key_to_command_line
from sota_exp.config.hashing import compute_digest
from sota_exp.config.values import flatten

#: Increased when code changes the losses of an unchanged configuration; tests/golden_losses.json guards this.
NUMERICS_VERSION = 7

#: Groups outside the training fingerprint. Of `evaluation`, training uses the default view alone (for the best epoch
#: and label propagation), which is hashed as `validated_at`.
GROUPS_NOT_HASHED = ("tracking", "runtime", "recipe", "scale", "evaluation")

#: Keys of `data` with the location of its files; the digest of the data set covers their content.
DATA_LOCATION_KEYS = (
    *("root", "layout", "class_order", "cache", "path", "store_gigabytes", "digest"),
    *("train", "val", "test", "label"),
)

#: Keys of stages with the path of a file; its content is hashed instead.
FILE_PATH_KEYS = ("path", "store", "labelled_file")


def compute_training_fingerprint(tree: dict[str, Any], content: dict[str, str]) -> str:
    """Hash of resolved values and of `content`: hashes of images, initial weights, teacher and given labels."""
    meant = {name: value for name, value in canonicalize(tree).items() if name not in GROUPS_NOT_HASHED}
    meant["data"] = {name: value for name, value in meant["data"].items() if name not in DATA_LOCATION_KEYS}
    if "split" in meant["data"]:  # How many repeats are trained changes none of them.
        meant["data"]["split"] = {name: value for name, value in meant["data"]["split"].items() if name != "repeats"}
    for group, slot in (("model", "weights"), ("regularization", "distillation")):
        meant[group] = {**meant[group], slot: _drop_paths(meant[group].get(slot, {}))}
    meant["supervision"] = _drop_paths(meant.get("supervision", {}))
    meant["validated_at"] = {name: tree["evaluation"]["resolution"].get(name) for name in ("size", "crop_ratio")}
    meant["precision"] = tree["runtime"]["precision"]
    return compute_digest({"numerics": NUMERICS_VERSION, "meant": meant, "content": content})


def compute_run_fingerprint(training: str, tree: dict[str, Any]) -> str:
    """Hash of the training fingerprint and of the evaluation."""
    return compute_digest(
        {"training": training, "evaluation": canonicalize({"evaluation": tree["evaluation"]})["evaluation"]}
    )


def canonicalize(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The canonical form of a configuration, equal for configurations that mean the same.

    Neutral options and inert values are dropped, so that a slot or field added later does not change it.
    Integers in float fields become floats.
    """
    from sota_exp.config.experiment import Experiment  # Imports torch.

    return _of_group(tree, Experiment, "")


def _of_group(tree: Mapping[str, Any], cls: type, key: str) -> dict[str, Any]:
    types, inert = get_field_types(typing.cast(Any, cls)), get_inert_values(cls)
    found: dict[str, Any] = {}
    for name, value in tree.items():
        kind, path = types.get(name), f"{key}.{name}".lstrip(".")
        if isinstance(value, Mapping) and ("_option_" in value or "_target_" in value):
            found |= {name: meant} if (meant := canonicalize_option(value, path)) else {}
        elif isinstance(value, Mapping) and is_config_class(kind):
            found[name] = _of_group(value, typing.cast(type, kind), path)
        elif inert.get(name, ...) != value:
            found[name] = _convert_to_type(value, kind)
    return found


def canonicalize_option(node: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The name and the values of an option; empty for a neutral option, and for a plain one without values."""
    slot, option = key.replace(".", "/"), node.get("_option_")
    if option is not None and is_neutral_option(slot, option):
        return {}
    path = str(get_target(node, key))
    values = {name: value for name, value in node.items() if not name.startswith("_")}
    found = _of_group(values, import_class(path, key), key)
    if option is not None and DEFAULT_OPTIONS.get(slot) == option and not found:
        return {}
    return {"option": option or path, **found}


def _convert_to_type(value: Any, kind: Any) -> Any:
    if isinstance(value, list):
        return [_convert_to_type(item, next(iter(typing.get_args(kind)), None)) for item in value]
    is_float = kind is float or float in typing.get_args(kind)
    return float(value) if is_float and isinstance(value, int) and not isinstance(value, bool) else value


def _drop_paths(node: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in node.items() if name not in FILE_PATH_KEYS}


def format_differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """`key: value → value` for every leaf that differs between two resolved configurations."""
    before, after = flatten(one), flatten(other)
    return [
        f"{key_to_command_line(key)}: {before.get(key)} → {after.get(key)}"
        for key in sorted({**before, **after})
        if before.get(key) != after.get(key)
    ]
