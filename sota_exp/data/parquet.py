"""Data sets of Hugging Face streamed: images in parquet files, local or at any address that `fsspec` opens.

A row has an image, as the package `datasets` writes it (a struct with the encoded file in `bytes`) or as bytes, and a
label. Only the column of the labels is read to list the images; nothing is downloaded whole or copied.
"""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from sota_exp.config.data_paths import is_address
from sota_exp.config.values import join_first
from sota_exp.data.folders import get_ending, get_image_endings
from sota_exp.data.huggingface import LABEL_COLUMNS, choose_column
from sota_exp.data.image_files import FileList
from sota_exp.data.listing import Listing, ListingWriter
from sota_exp.data.listing_state import FileState
from sota_exp.data.read_files import Progress, map_in_threads
from sota_exp.data.row_groups import open_parquet
from sota_exp.data.shards import FIELDS, MAX_NAMED, Shard, ShardSource
from sota_exp.data.shared_listing import share_listing
from sota_exp.data.store_writer import TRAIN
from sota_exp.errors import RunFailed
from sota_exp.stages.stage import InvalidValue

log = logging.getLogger(__name__)

#: Labels of images whose class is secret, as in the test part of a challenge.
NO_LABELS = (None, -1)


class Group(NamedTuple):
    """A row group: its name, its bytes decompressed, and of each row the name of the image and its label."""

    name: str
    num_bytes: int
    names: list[str]
    labels: list[Any]


@dataclass(frozen=True, kw_only=True)
class Parquet(ShardSource):
    """The images in parquet files. Columns that are null are found by their kinds, or by the usual names of labels."""

    image_column: str | None
    label_column: str | None

    noun, ending = "parquet files", ".parquet"

    def list_files(self) -> FileList:
        root = self.get_root()
        shards = self.find_shards(root)
        image, label, names = self.choose_columns(f"{root}/{shards[0].name}")
        place = root if is_address(root) else str(Path(root).absolute())
        request = ["parquet", place, image, label, shards]
        listing = share_listing(self.cache, request, lambda: self.index(root, shards, image, label), is_complete=True)
        return FileList(root, listing, "root", lambda number: names.get(number, number))

    def guess_splits(self, names: list[str]) -> dict[str, int]:
        splits = super().guess_splits(names)
        for split, field in FIELDS.items():
            folders = sorted({str(Path(name).parent) for name, each in splits.items() if each == split})
            if len(folders) > 1:
                legal = f"the files of one configuration; those of {field} lie in {join_first(folders, MAX_NAMED)}"
                raise InvalidValue("root", self.root, f"{legal}: give one of these folders, or data.{field}=NAMES")
        return splits

    def choose_columns(self, path: str) -> tuple[str, str, dict[str, str]]:
        """The columns of images and labels of a file, and the number of a class → its name, where it says them.

        Raises:
            InvalidValue: there is no such column, or it is open which it is.
            RunFailed: the file cannot be read.
        """
        try:
            with open_parquet(path) as opened:
                schema = opened.schema_arrow
        except OSError as error:
            raise RunFailed(str(error)) from error
        said = json.loads((schema.metadata or {}).get(b"huggingface", b"{}")).get("info", {}).get("features", {})
        kinds = {name: said[name].get("_type") for name in schema.names if isinstance(said.get(name), dict)}
        images = [name for name, kind in kinds.items() if kind == "Image"]
        images = images or [field.name for field in schema if "binary" in str(field.type)]
        classes = [name for name, kind in kinds.items() if kind == "ClassLabel"]
        classes = classes or [name for name in LABEL_COLUMNS if name in schema.names][:1]
        image = choose_column("image_column", self.image_column, images, schema.names)
        label = choose_column("label_column", self.label_column, classes, schema.names)
        names = said[label].get("names") or [] if kinds.get(label) == "ClassLabel" else []
        return image, label, {str(number): name for number, name in enumerate(names)}

    def index(self, root: str, shards: list[Shard], image: str, label: str) -> Listing:
        """Where each image of the files lies.

        Raises:
            RunFailed: a file cannot be read, lacks a column, or has rows without a label.
        """
        writer, progress = ListingWriter(root), Progress(f"{root}: indexed")
        read = map_in_threads(lambda shard: list(read_groups(root, shard.name, image, label)), shards)
        unlabelled: list[str] = []
        for shard, groups in zip(shards, read, strict=True):
            if shard.split != TRAIN and all(label in NO_LABELS for group in groups for label in group.labels):
                unlabelled.append(shard.name)
                continue
            for name, num_bytes, names, values in groups:
                if wrong := [row for row, value in enumerate(values) if value in NO_LABELS or not is_label(value)]:
                    legal = "a string or an integer from 0 on is legal"
                    raise RunFailed(f"{root}/{names[wrong[0]]}: its {label} is {values[wrong[0]]!r}; {legal}")
                states = [FileState(num_bytes, shard.state.time)] * len(names)
                writer.add(names, states, list(map(str, values)), shard.split, name, range(len(names)))
                progress.add(len(names))
        if unlabelled:
            log.warning("%s: without labels, and ignored: %s", root, join_first(unlabelled, MAX_NAMED))
        return writer.finish()


def is_label(value: object) -> bool:
    """Whether the value of a row can be a class."""
    return isinstance(value, str | int)


def read_groups(root: str, name: str, image: str, label: str) -> Iterator[Group]:
    """The row groups of a file in order.

    Raises:
        RunFailed: it cannot be read, or lacks a column.
    """
    try:
        with open_parquet(f"{root}/{name}") as opened:
            if missing := [column for column in (image, label) if column not in opened.schema_arrow.names]:
                have = ", ".join(opened.schema_arrow.names)
                raise RunFailed(f"{root}/{name} has no column {missing[0]}, as the first file has; it has {have}")
            first = 0
            for number in range(opened.num_row_groups):
                facts = opened.metadata.row_group(number)
                parts = [facts.column(place) for place in range(facts.num_columns)]
                size = sum(part.total_uncompressed_size for part in parts if is_part(part.path_in_schema, image))
                columns = opened.read_row_group(number, columns=[label, f"{image}.path"], use_threads=False).to_pydict()
                paths = [(each or {}).get("path") or "" for each in columns.get(image) or [None] * facts.num_rows]
                endings = [ending if (ending := get_ending(path)) in get_image_endings() else "" for path in paths]
                shard = f"{name}#{image}:{number}"
                rows = [f"{shard}/{first + row}{ending}" for row, ending in enumerate(endings)]
                yield Group(shard, size, rows, columns[label])
                first += facts.num_rows
    except OSError as error:
        raise RunFailed(str(error)) from error


def is_part(path: str, column: str) -> bool:
    """Whether a column of a parquet file, such as `image.bytes`, is `column` or belongs to it."""
    return path == column or path.startswith(f"{column}.")
