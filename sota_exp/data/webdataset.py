"""Images in tar archives as `webdataset` writes them, local or at any address that `fsspec` opens (extra `webdataset`).

Members of a sample follow each other and share the name up to its first dot: `000017.jpg`, `000017.cls`. Archives are
indexed once: where each image lies, and its class. From then on a member is read by its place, so images are shuffled,
shared out over processes and found again after an interruption as those of a folder, each once an epoch.
"""

import json
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

from sota_exp.config.data_paths import is_address
from sota_exp.data.folders import get_image_endings
from sota_exp.data.image_files import FileList
from sota_exp.data.listing import Listing, ListingWriter
from sota_exp.data.listing_state import FileState
from sota_exp.data.members import open_whole
from sota_exp.data.read_files import Progress, map_in_threads
from sota_exp.data.shards import Shard, ShardSource, import_webdataset
from sota_exp.data.shared_listing import share_listing
from sota_exp.errors import RunFailed, first_line
from sota_exp.stages.stage import InvalidValue, Legal

#: Members that say something of the archive and belong to no sample, as the package has it.
META = re.compile(r"__[^/]*__($|/)")


class Found(NamedTuple):
    """An image in an archive: its name and place, and the name of its class."""

    name: str
    offset: int
    num_bytes: int
    class_name: str


@dataclass(frozen=True, kw_only=True)
class WebDataset(ShardSource):
    """The images in tar archives.

    label: the ending of the member with the class, a number or a name; of one in JSON with its key, `json.label`.
    """

    label: Annotated[str, Legal(lambda value: value != "", "the ending of the members with the class, such as cls")]

    def list_files(self) -> FileList:
        root = self.get_root()
        shards = self.find_shards(root)
        request = ["webdataset", root if is_address(root) else str(Path(root).absolute()), self.label, shards]
        listing = share_listing(self.cache, request, lambda: self.index(root, shards), is_complete=True)
        if not len(listing):
            raise InvalidValue("root", self.root, "archives with images; no member of them is one by its name")
        return FileList(root, listing, "root")

    def index(self, root: str, shards: list[Shard]) -> Listing:
        """Where each image of the archives lies."""
        writer, progress = ListingWriter(root), Progress(f"{root}: indexed")
        read = map_in_threads(lambda shard: list(read_samples(f"{root}/{shard.name}", self.label)), shards)
        for shard, found in zip(shards, read, strict=True):
            states = [FileState(each.num_bytes, shard.state.time) for each in found]
            names, offsets = [f"{shard.name}/{each.name}" for each in found], [each.offset for each in found]
            writer.add(names, states, [each.class_name for each in found], shard.split, shard.name, offsets)
            progress.add(len(found))
        return writer.finish()


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
