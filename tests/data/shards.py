"""A tiny training on images in archives or Parquet files."""

from pathlib import Path
from typing import Any

from tests.experiments import TINY, composed


def compose_shards(option: str, root: Path | str, cache: Path, *overrides: str) -> Any:
    """The configuration of a tiny training with `data=option`, whose files are below `root`."""
    left_out = ("data=fake", "data.num", "data.min_side", "data.max_side")
    tiny = [item for item in TINY if not item.startswith(left_out)]
    return composed(f"data={option}", f"data.root={root}", f"data.cache={cache}", *tiny, *overrides)
