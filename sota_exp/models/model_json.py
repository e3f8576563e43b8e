"""Reads `model.json`, the description of a network and its preprocessing, without PyTorch."""

import json
from pathlib import Path
from typing import Any

from sota_exp.config.formats import FILE_FORMAT, get_format, targets_to_option_names
from sota_exp.config.values import flatten
from sota_exp.errors import DamagedFile
from sota_exp.runs.digests import read_checked
from sota_exp.runs.legal_values import is_number
from sota_exp.runs.trust import is_foreign, require_trust

#: The slots of regularization that change a network, in the order of their application.
TRANSFORM_SLOTS = (
    "norm",
    "stochastic_depth",
    "dropout",
)

#: Keys that a description must have, and their types.
REQUIRED = {"arch": dict, "transforms": dict, "classes": list, "preprocessing": dict}


def read_description(path: Path) -> dict[str, Any] | None:
    """The content of a `model.json`, upgraded to the current format; None for a file of another program.

    Raises:
        ConfigError: it names a class of another package, and is neither the user's own nor trusted.
        DamagedFile: it is not as the run wrote it.
        OSError: it cannot be read.
    """
    try:
        found = json.loads(read_checked(path))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        return None
    is_ours = isinstance(found, dict) and all(isinstance(found.get(name), kind) for name, kind in REQUIRED.items())
    if not is_ours:
        return None
    require_usable(found, path)
    require_trust(path.parent, {key: value for key, value in flatten(found).items() if is_foreign(key, value)})
    return _upgrade(found, path)


def require_usable(found: dict[str, Any], path: Path) -> None:
    """Check the values that prepare images and name classes: a wrong one would give NaN, or other images.

    Raises:
        DamagedFile: one is not legal.
    """
    given = found["preprocessing"]
    for name in ("mean", "std"):
        values = given.get(name)
        is_legal = isinstance(values, list) and len(values) == 3 and all(map(is_number, values))
        if not is_legal or (name == "std" and min(values) <= 0):
            raise DamagedFile(
                path, f"preprocessing.{name}={values}; legal: three numbers{', above 0' * (name == 'std')}"
            )
    for name in {"size", "resize"} & given.keys():
        if not (is_number(given[name]) and given[name] == int(given[name]) >= 1):
            raise DamagedFile(path, f"preprocessing.{name}={given[name]}; legal: a number of pixels")
    if not all(isinstance(name, str) for name in found["classes"]):
        raise DamagedFile(path, "classes; legal: a list of names")


def _upgrade(found: dict[str, Any], path: Path) -> dict[str, Any]:
    if get_format(found, path) > 1:
        return found | {"format": FILE_FORMAT}
    named = {
        "arch": targets_to_option_names(found["arch"], key="model/arch"),
        "transforms": {
            name: targets_to_option_names(node, key=f"regularization/{name}")
            for name, node in found["transforms"].items()
        },
        "predictor": targets_to_option_names(found["predictor"], key="evaluation/tta"),
    }
    return found | {"format": FILE_FORMAT} | named
