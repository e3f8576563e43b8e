"""`model.json`, which says how to build and to feed a network: read without PyTorch, and told from other programs' files."""

import json
from pathlib import Path
from typing import Any

from sota_exp.config.formats import FORMAT, format_of, name_options

#: The slots whose options a description holds; each of its transforms is one of regularization.
ARCH, REGULARIZATION, PREDICTOR = "model/arch", "regularization", "evaluation/tta"

#: What it has, and of which kind.
PARTS = {"arch": dict, "transforms": dict, "classes": list, "preprocessing": dict}


def read_description(path: Path) -> dict[str, Any] | None:
    """The content of a `model.json` as a run writes it; None for a file of another program."""
    try:
        found = json.loads(path.read_text())
    except ValueError:
        return None
    is_ours = isinstance(found, dict) and all(isinstance(found.get(name), kind) for name, kind in PARTS.items())
    return upgraded(found, path) if is_ours else None


def upgraded(found: dict[str, Any], path: Path) -> dict[str, Any]:
    """A description of any version as this one writes it.

    Raises:
        ConfigError: a later version wrote it.
    """
    if format_of(found, path) == FORMAT:
        return found
    named = {
        "arch": name_options(found["arch"], key=ARCH),
        "transforms": {
            name: name_options(node, key=f"{REGULARIZATION}/{name}") for name, node in found["transforms"].items()
        },
        "predictor": name_options(found["predictor"], key=PREDICTOR),
    }
    return found | {"format": FORMAT} | named
