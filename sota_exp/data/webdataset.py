"""Images in tar archives as `webdataset` writes them, local or at any address that `fsspec` opens (extra `webdataset`).

Members of a sample follow each other and share the name up to its first dot: `000017.jpg`, `000017.cls`. Archives are
indexed once: where each image lies, and its class. From then on a member is read by its place, so images are shuffled,
shared out over processes and found again after an interruption as those of a folder, each once an epoch.
"""

import importlib
import json
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from sota_exp.config.data_paths import expand_home, find_path_problem, is_address
from sota_exp.config.values import join_first
from sota_exp.data.folders import find_split_words, get_image_endings
from sota_exp.data.image_files import FileList, FileSource
from sota_exp.data.listing import Listing, ListingWriter
from sota_exp.data.listing_state import FileState
from sota_exp.data.members import describe_address, find_addresses, open_whole
from sota_exp.data.read_files import Progress, map_in_threads
from sota_exp.data.shared_listing import share_listing
from sota_exp.data.store_writer import TEST, TRAIN, VAL
from sota_exp.errors import ConfigError, RunFailed, first_line
from sota_exp.stages.stage import InvalidValue, Legal

#: Names of archives, below the root.
ARCHIVES = "**/*.tar"

#: Members that say something of the archive and belong to no sample, as the package has it.
META = re.compile(r"__[^/]*__($|/)")

#: Number of archives or members that a message names.
MAX_NAMED = 3


class Shard(NamedTuple):
    """An archive: its name below the root, its split, and what tells that it is as before."""

    name: str
    split: int
    state: FileState


class Found(NamedTuple):
    """An image in an archive: its name and place, and the name of its class."""

    name: str
    offset: int
    num_bytes: int
    class_name: str


def import_webdataset() -> Any:
    """The package `webdataset`.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return importlib.import_module("webdataset")
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"data=webdataset needs the extra webdataset: pip install 'sota-exp[webdataset]' ({error})"
        ) from error


@dataclass(frozen=True, kw_only=True)
class WebDataset(FileSource):
    """The images in the archives below `root`, a folder or an address such as https://… or s3://…

    train, val, test: names of the archives of a split below `root`, with `*` where they can be listed, and {000..146};
    None: no archives of this split, or where all three are None, what their names say. label: the ending of the member
    with the class, a number or a name; of one in JSON with its key, `json.label`.
    """

    root: str
    train: str | None
    val: str | None
    test: str | None
    label: Annotated[str, Legal(lambda value: value != "", "the ending of the members with the class, such as cls")]

    def list_files(self) -> FileList:
        root = self.root if is_address(self.root) else expand_home(self.root)
        shards = self.find_shards(str(root))
        request = ["webdataset", str(root if is_address(self.root) else Path(root).absolute()), self.label, shards]
        listing = share_listing(self.cache, request, lambda: self.index(root, shards), is_complete=True)
        if not len(listing):
            raise InvalidValue("root", self.root, "archives with images; no member of them is one by its name")
        return FileList(root, listing, "root")

    def find_shards(self, root: str) -> list[Shard]:
        """The archives below `root`, sorted by split and name.

        Raises:
            InvalidValue: there are none, or it is open which split they are.
        """
        if not is_address(root) and (problem := find_path_problem(Path(root), is_folder=True)):
            raise InvalidValue("root", self.root, problem)
        patterns = {TRAIN: self.train, VAL: self.val, TEST: self.test}
        named = {split: pattern for split, pattern in patterns.items() if pattern is not None}
        if not named:
            splits = self.guess_splits(find_addresses(root, ARCHIVES))
        else:
            found = {split: expand(root, pattern) for split, pattern in named.items()}
            for split, names in found.items():
                if not names:
                    field = {TRAIN: "train", VAL: "val", TEST: "test"}[split]
                    raise InvalidValue(field, named[split], f"names of archives in {root}; there are none such")
            splits = {name: split for split, names in found.items() for name in names}
            if twice := [name for name in splits if sum(name in names for names in found.values()) > 1]:
                raise InvalidValue("train", self.train, f"each archive in one split, not {twice[0]} in two")
        states = map_in_threads(lambda name: describe_address(f"{root}/{name}"), list(splits))
        shards = [Shard(name, split, state) for (name, split), state in zip(splits.items(), states, strict=True)]
        return sorted(shards, key=lambda shard: (shard.split, shard.name))

    def guess_splits(self, names: list[str]) -> dict[str, int]:
        """Name of an archive → its split by the words in it; all are train where no name has such a word.

        Raises:
            InvalidValue: there is no archive, or some names have such a word and others don't.
        """
        if not names:
            legal = "a folder with tar archives, or data.train=NAMES where archives cannot be listed"
            raise InvalidValue("root", self.root, f"{legal}: train-{{0000..0146}}.tar")
        words = find_split_words(names)
        if words and (others := [name for name in names if name not in words]):
            legal = f"archives named as train, val or test, or none; {join_first(others, MAX_NAMED)} may be any"
            raise InvalidValue("root", self.root, f"{legal}: data.train='*train*.tar' names those of train")
        if words and TRAIN not in words.values():
            legal = f"archives to train on, but {join_first(names, MAX_NAMED)} are others by their names"
            raise InvalidValue("root", self.root, f"{legal}: data.train='*.tar' takes them")
        return words or dict.fromkeys(names, TRAIN)

    def index(self, root: str | Path, shards: list[Shard]) -> Listing:
        """Where each image of the archives lies."""
        writer, progress = ListingWriter(root), Progress(f"{root}: indexed")
        read = map_in_threads(lambda shard: list(read_samples(f"{root}/{shard.name}", self.label)), shards)
        for shard, found in zip(shards, read, strict=True):
            states = [FileState(each.num_bytes, shard.state.time) for each in found]
            names, offsets = [f"{shard.name}/{each.name}" for each in found], [each.offset for each in found]
            writer.add(names, states, [each.class_name for each in found], shard.split, shard.name, offsets)
            progress.add(len(found))
        return writer.finish()


def expand(root: str, pattern: str) -> list[str]:
    """The names below `root` that a pattern means: all of {000..146} and {a,b}, and with `*` those that are there."""
    names = import_webdataset().shardlists.expand_urls(pattern)
    return [found for name in names for found in (find_addresses(root, name) if "*" in name else [name])]


def read_samples(shard: str, label: str) -> Iterator[Found]:
    """The images of an archive in order.

    Raises:
        RunFailed: it cannot be read, or a sample with an image has no class, or two images.
    """
    split_name = import_webdataset().tariterators.base_plus_ext
    ending, _, key = label.partition(".")
    sample, image, class_name = None, None, None
    try:
        with open_whole(shard) as file, tarfile.open(fileobj=file, mode="r:") as archive:
            for member in archive:
                archive.members = []  # type: ignore[attr-defined] # which it keeps, all of them
                base, extension = split_name(member.name)
                if not member.isreg() or base is None or META.match(member.name):
                    continue
                if base != sample and image is not None:
                    yield finish_sample(shard, label, image, class_name)
                if base != sample:
                    sample, image, class_name = base, None, None
                if extension.lower() == ending:
                    content = archive.extractfile(member)
                    assert content is not None, "a regular file"
                    class_name = read_class(content.read(), key)
                elif f".{extension.lower()}" in get_image_endings():
                    if image is not None:
                        raise RunFailed(f"{shard}: the sample {base} has two images; one is legal")
                    image = member
            if image is not None:
                yield finish_sample(shard, label, image, class_name)
    except (OSError, tarfile.TarError, ValueError, KeyError) as error:
        hint = "; compressed archives have no places to read at: unpack them before (gunzip)"
        hint = hint if isinstance(error, tarfile.ReadError) else ""
        raise RunFailed(f"{shard} can't be read as an archive: {first_line(error)}{hint}") from error


def finish_sample(shard: str, label: str, image: tarfile.TarInfo, class_name: str | None) -> Found:
    """The image with its class.

    Raises:
        RunFailed: it has none.
    """
    if not class_name:
        raise RunFailed(
            f"{shard}: {image.name} has no class in a member .{label}; data.label=ENDING names another one, "
            "data.val=null or data.test=null leaves archives without classes out"
        )
    return Found(image.name, image.offset_data, image.size, class_name)


def read_class(content: bytes, key: str) -> str:
    """The name of a class: the text of a member, or the value of a key in one in JSON."""
    text = content.decode().strip()
    return str(json.loads(text)[key]) if key else text
