"""`model.json`, which says how to build and to feed a network: read without PyTorch, and told from other programs' files."""

import json
from pathlib import Path
from typing import Any

#: What it has, and of which kind.
PARTS = {"arch": dict, "transforms": dict, "classes": list, "preprocessing": dict}


def read_description(path: Path) -> dict[str, Any] | None:
    """The content of a `model.json` as a run writes it; None for a file of another program."""
    try:
        found = json.loads(path.read_text())
    except ValueError:
        return None
    is_ours = isinstance(found, dict) and all(isinstance(found.get(name), kind) for name, kind in PARTS.items())
    return found if is_ours else None
