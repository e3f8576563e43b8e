"""Data sets of files that each hold many images, below a folder or an address that `fsspec` opens."""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from sota_exp.config.data_paths import expand_home, find_path_problem, is_address
from sota_exp.config.values import join_first
from sota_exp.data.folders import find_split_words
from sota_exp.data.image_files import FileSource
from sota_exp.data.listing_state import FileState
from sota_exp.data.members import describe_address, find_addresses
from sota_exp.data.read_files import map_in_threads
from sota_exp.data.store_writer import TEST, TRAIN, VAL
from sota_exp.errors import ConfigError
from sota_exp.stages.stage import InvalidValue

#: Split → the field with the names of its files.
FIELDS = {TRAIN: "train", VAL: "val", TEST: "test"}

#: Number of files or members that a message names.
MAX_NAMED = 3


class Shard(NamedTuple):
    """A file with images: its name below the root, its split, and what tells that it is as before."""

    name: str
    split: int
    state: FileState


def import_webdataset() -> Any:
    """The package `webdataset`.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return importlib.import_module("webdataset")
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"tar archives and {{000..146}} need the extra webdataset: pip install 'sota-exp[webdataset]' ({error})"
        ) from error


@dataclass(frozen=True, kw_only=True)
class ShardSource(FileSource):
    """The images in the files below `root`, a folder or an address such as https://… or s3://…

    train, val, test: names of the files of a split below `root`, with `*` where they can be listed, and {000..146};
    None: no files of this split, or where all three are None, what their names say.
    """

    root: str
    train: str | None
    val: str | None
    test: str | None

    #: What the files are called, and how their names end.
    noun, ending = "tar archives", ".tar"

    def get_root(self) -> str:
        """The root without `~`."""
        return self.root if is_address(self.root) else str(expand_home(self.root))

    def find_shards(self, root: str) -> list[Shard]:
        """The files below `root`, sorted by split and name.

        Raises:
            InvalidValue: there are none, or it is open which split they are.
        """
        if not is_address(root) and (problem := find_path_problem(Path(root), is_folder=True)):
            raise InvalidValue("root", self.root, problem)
        named = {split: getattr(self, field) for split, field in FIELDS.items() if getattr(self, field) is not None}
        if not named:
            splits = self.guess_splits(find_addresses(root, f"**/*{self.ending}"))
        else:
            found = {split: expand(root, pattern) for split, pattern in named.items()}
            for split, names in found.items():
                if not names:
                    legal = f"names of {self.noun} in {root}; there are none such"
                    raise InvalidValue(FIELDS[split], named[split], legal)
            splits = {name: split for split, names in found.items() for name in names}
            if twice := [name for name in splits if sum(name in names for names in found.values()) > 1]:
                raise InvalidValue("train", self.train, f"each file in one split, not {twice[0]} in two")
        states = map_in_threads(lambda name: describe_address(f"{root}/{name}"), list(splits))
        shards = [Shard(name, split, state) for (name, split), state in zip(splits.items(), states, strict=True)]
        return sorted(shards, key=lambda shard: (shard.split, shard.name))

    def guess_splits(self, names: list[str]) -> dict[str, int]:
        """Name of a file → its split by the words in it; all are train where no name has such a word.

        Raises:
            InvalidValue: there is no file, or some names have such a word and others don't.
        """
        if not names:
            legal = f"a folder with {self.noun}, or data.train=NAMES where they cannot be listed"
            raise InvalidValue("root", self.root, f"{legal}: train-{{0000..0146}}{self.ending}")
        words = find_split_words(names)
        if words and (others := [name for name in names if name not in words]):
            legal = f"{self.noun} named as train, val or test, or none; {join_first(others, MAX_NAMED)} may be any"
            raise InvalidValue("root", self.root, f"{legal}: data.train='*train*{self.ending}' names those of train")
        if words and TRAIN not in words.values():
            legal = f"{self.noun} to train on, but {join_first(names, MAX_NAMED)} are others by their names"
            raise InvalidValue("root", self.root, f"{legal}: data.train='*{self.ending}' takes them")
        return words or dict.fromkeys(names, TRAIN)


def expand(root: str, pattern: str) -> list[str]:
    """The names below `root` that a pattern means: all of {000..146} and {a,b}, and with `*` those that are there."""
    names = import_webdataset().shardlists.expand_urls(pattern) if "{" in pattern else [pattern]
    return [found for name in names for found in (find_addresses(root, name) if "*" in name else [name])]
