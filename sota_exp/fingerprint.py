"""What a run is, as a hash: equal for equal configuration and equal content, wherever files lie and whoever watches.

The training fingerprint covers all that changes the trained weights; the run's own adds how they are evaluated.
"""

from typing import Any

from sota_exp.config import digest

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
    meant = {name: value for name, value in tree.items() if name not in NOT_MEANT}
    meant["data"] = {name: value for name, value in tree["data"].items() if name not in PLACES}
    for group, slot in (("model", "weights"), ("regularization", "distillation")):
        meant[group] = {**meant[group], slot: _without_paths(meant[group][slot])}
    meant["supervision"] = _without_paths(meant["supervision"])
    meant["validated_at"] = {name: tree["evaluation"]["resolution"].get(name) for name in ("size", "crop_ratio")}
    meant["precision"] = tree["runtime"]["precision"]
    return digest({"numerics": NUMERICS_VERSION, "meant": meant, "content": content})


def fingerprint(training: str, tree: dict[str, Any]) -> str:
    """Hash of the training and of how its weights are evaluated."""
    return digest({"training": training, "evaluation": tree["evaluation"]})


def _without_paths(node: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in node.items() if name not in PATHS}


def differences(one: dict[str, Any], other: dict[str, Any], key: str = "") -> list[str]:
    """`key: value → value` for every leaf that differs between two resolved configurations."""
    found = []
    for name in sorted({*one, *other}):
        path = f"{key}.{name}" if key else name
        first, second = one.get(name), other.get(name)
        if isinstance(first, dict) and isinstance(second, dict):
            found += differences(first, second, path)
        elif first != second:
            found.append(f"{path}: {first} → {second}")
    return found
