"""The images of a data set in columns: a few arrays of numbers and one of bytes, however many millions there are.

A Python object per image would take a kilobyte of each process. A large listing lies in files that are memory-mapped,
so that all processes of a machine share one copy.
"""

import hashlib
import itertools
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np

from sota_exp.config.data_paths import is_address
from sota_exp.data.listing_state import FileState
from sota_exp.data.members import Member
from sota_exp.data.row_groups import MARK
from sota_exp.stages.data import Blocks

#: Rows that are Python objects at once.
ROWS_AT_ONCE = 10_000

#: A row: where the name ends in the bytes of all names; bytes and time of change in ns of the file; for a member of
#: an archive its place in it and the number of the archive, else -1; the numbers of class and split.
ROW = np.dtype(
    [
        ("end", "<i8"),
        ("size", "<i8"),
        ("time", "<i8"),
        ("offset", "<i8"),
        ("shard", "<i4"),
        ("label", "<i4"),
        ("split", "<i4"),
    ]
)


class ImageFile(NamedTuple):
    """An image file or member of one, the name of its class, and its split (TRAIN, VAL or TEST)."""

    path: Path | Member
    class_name: str
    split: int


class Names(Sequence[str]):
    """The names of the images of a listing, made as they are asked for."""

    def __init__(self, listing: "Listing") -> None:
        self.listing = listing

    def __len__(self) -> int:
        return len(self.listing)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        return self.listing.name(range(len(self))[index])


class Listing(Sequence[ImageFile]):
    """Images by index. Names are relative to `root`, of members with the name of their archive before.

    names: uint8 [bytes], all names one after the other. rows: `ROW` [N]. classes: by the numbers in `rows`. shards: the
    archives, relative to `root`, which may be an address. place: the folder whose names and rows are mapped, or None.
    """

    def __init__(
        self,
        root: Path | str,
        names: np.ndarray,
        rows: np.ndarray,
        classes: Sequence[str],
        shards: Sequence[str] = (),
        place: Path | None = None,
    ) -> None:
        self.root, self.rows, self._names = root, rows, names
        self.classes, self.shards, self.place = tuple(classes), tuple(shards), place

    def __len__(self) -> int:
        return len(self.rows)

    def name(self, index: int) -> str:
        """The path of an image relative to `root`."""
        start = int(self.rows["end"][index - 1]) if index else 0
        return os.fsdecode(self._names[start : int(self.rows["end"][index])].tobytes())

    def path(self, index: int) -> Path | Member:
        """Where an image is read."""
        row, name = self.rows[index], self.name(index)
        if row["shard"] < 0:
            return Path(self.root, name)
        shard = self.shards[row["shard"]]
        return Member(f"{self.root}/{shard}", name.removeprefix(f"{shard}/"), int(row["offset"]), int(row["size"]))

    @overload
    def __getitem__(self, index: int) -> ImageFile: ...
    @overload
    def __getitem__(self, index: slice) -> list[ImageFile]: ...
    def __getitem__(self, index: int | slice) -> ImageFile | list[ImageFile]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        row = self.rows[index]
        return ImageFile(self.path(index), self.classes[row["label"]], int(row["split"]))

    def names(self) -> Iterator[str]:
        """All names, a few of which are in memory at once."""
        start = 0
        for first in range(0, len(self), ROWS_AT_ONCE):
            ends = self.rows["end"][first : first + ROWS_AT_ONCE].tolist()
            content = self._names[start : ends[-1]].tobytes()
            for begin, end in itertools.pairwise([start, *ends]):
                yield os.fsdecode(content[begin - start : end - start])
            start = ends[-1]

    @property
    def blocks(self) -> Blocks | None:
        """The row groups that the images lie in, whose bytes are their `size`; None: they lie in none."""
        if not self.shards or MARK not in self.shards[0]:
            return None
        num_bytes = np.zeros(len(self.shards), dtype=np.int64)
        num_bytes[self.rows["shard"]] = self.rows["size"]
        return Blocks(self.rows["shard"].astype(np.int64), num_bytes)

    def find_classes(self, split: int | None = None) -> set[str]:
        """The names of the classes that have images in a split, or in any."""
        labels = self.rows["label"] if split is None else self.rows["label"][self.rows["split"] == split]
        return {self.classes[label] for label in np.unique(labels).tolist()}

    def get_labels(self, classes: Sequence[str]) -> np.ndarray:
        """The place of each image's class in `classes`, int64 [N]."""
        places = {name: place for place, name in enumerate(classes)}
        table = np.array([places.get(name, -1) for name in self.classes], dtype=np.int64)
        return table[self.rows["label"]]

    def take(self, positions: Sequence[int]) -> "Listing":
        """The listing of the images at these positions."""
        picked = [os.fsencode(self.name(position)) for position in positions]
        rows = self.rows[list(positions)].copy()
        rows["end"] = np.cumsum([len(name) for name in picked], dtype=np.int64)
        names = np.frombuffer(b"".join(picked), dtype=np.uint8)
        return Listing(self.root, names, rows, self.classes, self.shards)

    def rename_classes(self, names: Mapping[str, str]) -> "Listing":
        """The same images, with other names of some classes: old → new."""
        renamed = [names.get(name, name) for name in self.classes]
        return Listing(self.root, self._names, self.rows, renamed, self.shards, self.place)

    def compute_digest(self) -> str:
        """A hash of all of it."""
        content = hashlib.blake2b(json.dumps([str(self.root), self.classes, self.shards]).encode(), digest_size=12)
        for column in (self._names, self.rows):
            content.update(np.ascontiguousarray(column).tobytes())
        return content.hexdigest()

    def save(self, place: Path) -> None:
        """Write it to files in the folder `place`."""
        np.save(place / "names.npy", self._names)
        np.save(place / "rows.npy", self.rows)
        facts = {"root": str(self.root), "classes": self.classes, "shards": self.shards}
        (place / "listing.json").write_text(json.dumps(facts))

    def __reduce__(self) -> tuple[Callable[..., "Listing"], tuple[Any, ...]]:
        if self.place is None:
            return Listing, (self.root, self._names, self.rows, self.classes, self.shards)
        return open_listing, (self.place, self.classes)


def open_listing(place: Path, classes: Sequence[str] | None = None) -> Listing:
    """The listing in a folder, its arrays mapped. classes: their names, where others than in the files.

    Raises:
        OSError, ValueError, KeyError: the files are not there or damaged.
    """
    facts = json.loads((place / "listing.json").read_text())
    names, rows = (np.load(place / f"{name}.npy", mmap_mode="r") for name in ("names", "rows"))
    if rows.dtype != ROW or (len(rows) and rows["end"][-1] != len(names)):
        raise ValueError(f"{place} holds no listing")
    root = facts["root"] if is_address(facts["root"]) else Path(facts["root"])
    return Listing(root, names, rows, classes or facts["classes"], facts["shards"], place)


class ListingWriter:
    """Collects a listing, a part at a time."""

    def __init__(self, root: Path | str) -> None:
        self.root = root
        self.shards: list[str] = []
        self.splits: set[int] = set()
        self._labels: dict[str, int] = {}
        # Two that grow: thousands of small ones would leave a heap full of holes.
        self._names, self._rows = bytearray(), bytearray()

    def add(
        self,
        names: Sequence[str],
        states: Sequence[FileState],
        class_names: Sequence[str],
        splits: Sequence[int] | int,
        shard: str | None = None,
        offsets: Sequence[int] | int = -1,
    ) -> None:
        """Add images of these names relative to the root, in order. class_names: one per image."""
        encoded = [os.fsencode(name) for name in names]
        rows = np.empty(len(names), dtype=ROW)
        rows["end"] = len(self._names) + np.cumsum([len(name) for name in encoded], dtype=np.int64)
        rows["size"], rows["time"] = np.array(states, dtype=np.int64).reshape(-1, 2).T
        rows["label"] = [self._labels.setdefault(name, len(self._labels)) for name in class_names]
        rows["split"], rows["offset"], rows["shard"] = splits, offsets, -1
        if shard is not None:
            rows["shard"] = len(self.shards)
            self.shards.append(shard)
        self.splits.update(np.unique(rows["split"]).tolist())
        self._names += b"".join(encoded)
        self._rows += rows.tobytes()

    def finish(self) -> Listing:
        """The listing of all that was added."""
        names, rows = np.frombuffer(self._names, dtype=np.uint8), np.frombuffer(self._rows, dtype=ROW)
        return Listing(self.root, names, rows, list(self._labels), self.shards)


def iterate_rows(listing: Listing) -> Iterator[tuple[str, int, int, str, int]]:
    """Of every image: name, bytes, time of change, class, split; in the order of the names' parts."""
    order: Sequence[int] = range(len(listing))
    if not all(one < other for one, other in itertools.pairwise(map(split_key, listing.names()))):
        order = sorted(order, key=[split_key(name) for name in listing.names()].__getitem__)
        listing = listing.take(order)
    names = listing.names()
    for first in range(0, len(listing), ROWS_AT_ONCE):
        some = listing.rows[first : first + ROWS_AT_ONCE]
        columns = (some[column].tolist() for column in ("size", "time", "label", "split"))
        for name, size, time, label, split in zip(itertools.islice(names, len(some)), *columns, strict=True):
            if name.startswith("/") or ".." in name:
                name = os.path.relpath(Path(listing.root, name), listing.root)
            yield name, size, time, listing.classes[label], split


def split_key(name: str) -> str:
    """A sort key by which the parts of paths are compared, one after the other."""
    return name.replace("/", "\0")
