"""Folders and tables of images to be split, and what opens them."""

from pathlib import Path

import numpy as np
from PIL import Image

from sota_exp.config.build import build
from sota_exp.stages.data import DataSet, DataSource
from tests.data.options import read_data_option


def write_table(
    place: Path, num: int = 40, *, groups: list[str] | None = None, copies: dict[int, int] | None = None
) -> None:
    """`table.csv` with `num` images of two classes. groups: of each image. copies: image → the one that it is a copy of."""
    columns = "path,label,group" if groups else "path,label"
    rows = []
    for index in range(num):
        pixels = np.random.default_rng((copies or {}).get(index, index)).integers(256, size=(8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"{index:03d}.png")
        rows.append(f"{index:03d}.png,{'ab'[index % 2]}" + (f",{groups[index]}" if groups else ""))
    (place / "table.csv").write_text("\n".join([columns, *rows]) + "\n")


def opened(place: Path, split: dict[str, object], **changes: object) -> DataSet:
    """The data set of `table.csv`, split by an option with all its values."""
    values = read_data_option("csv")
    given = {"cache": str(place / "cache"), "path": str(place / "table.csv"), "split": split}
    return build(DataSource, values | given | changes, "data")()
