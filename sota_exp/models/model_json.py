"""Reads `model.json`, the description of a network and its preprocessing, without PyTorch."""

import json
from pathlib import Path
from typing import Any

from sota_exp.config.formats import FILE_FORMAT, get_format, targets_to_option_names

#: The slots whose options a description contains; its transforms are slots of regularization.
ARCH, REGULARIZATION, PREDICTOR = "model/arch", "regularization", "evaluation/tta"

#: Keys that a description must have, and their types.
REQUIRED = {"arch": dict, "transforms": dict, "classes": list, "preprocessing": dict}


def read_description(path: Path) -> dict[str, Any] | None:
    """The content of a `model.json`, upgraded to the current format; None for a file of another program.

    Raises:
        ConfigError: a later version of this package wrote it.
    """
    try:
        found = json.loads(path.read_text())
    except ValueError:
        return None
    is_ours = isinstance(found, dict) and all(isinstance(found.get(name), kind) for name, kind in REQUIRED.items())
    return _upgrade(found, path) if is_ours else None


def _upgrade(found: dict[str, Any], path: Path) -> dict[str, Any]:
    if get_format(found, path) == FILE_FORMAT:
        return found
    named = {
        "arch": targets_to_option_names(found["arch"], key=ARCH),
        "transforms": {
            name: targets_to_option_names(node, key=f"{REGULARIZATION}/{name}")
            for name, node in found["transforms"].items()
        },
        "predictor": targets_to_option_names(found["predictor"], key=PREDICTOR),
    }
    return found | {"format": FILE_FORMAT} | named
