"""The pictures of a sweep, drawn from `sweep.json`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def draw_sweep(summary: Mapping[str, Any], folder: Path) -> None:
    """Write every picture that the sweep's numbers allow."""
    folder.mkdir(exist_ok=True)
