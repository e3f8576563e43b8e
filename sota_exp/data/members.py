"""An image inside another file: a member of a tar archive, which is read without the rest, or a row of a parquet file.

Addresses with `://` are opened by fsspec, which PyTorch needs; what it needs for a protocol, such as s3fs, it says.
"""

import functools
import hashlib
import io
import os
import weakref
from pathlib import Path
from typing import IO, Any, NamedTuple

import fsspec

from sota_exp.config.data_paths import is_address
from sota_exp.data.listing_state import FileState, read_state
from sota_exp.data.row_groups import MARK, read_row

#: Number of archives that a process keeps open: systems allow a thousand files.
MAX_OPEN = 256

#: Bytes that are read ahead where a whole archive at an address is read.
READ_AHEAD = 2**23


class Member(NamedTuple):
    """`num_bytes` bytes from `offset` on in the file `shard`, which are the file `name` in it.

    In a row group of a parquet file: the row `offset`; `num_bytes` are those of the row group.
    """

    shard: str
    name: str
    offset: int
    num_bytes: int

    def __str__(self) -> str:
        return f"{self.shard}/{self.name}"

    def read(self) -> bytes:
        """The bytes.

        Raises:
            OSError: the shard cannot be read, or is shorter.
        """
        if MARK in self.shard:
            return read_row(self.shard, self.offset)
        if is_address(self.shard):
            # Found anew each time: it belongs to the process, and a worker may be a fork of one that has it.
            system, path = fsspec.core.url_to_fs(self.shard)
            content = system.cat_file(path, start=self.offset, end=self.offset + self.num_bytes)
        else:
            content = os.pread(open_once(self.shard).descriptor, self.num_bytes, self.offset)
        if len(content) != self.num_bytes:
            raise OSError(f"{self.shard} ends within it")
        return bytes(content)


class OpenFile:
    """A file that is open until nobody uses this object. Reading at a place moves nothing: threads may share it."""

    def __init__(self, path: str) -> None:
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self.descriptor)


open_once = functools.lru_cache(maxsize=MAX_OPEN)(OpenFile)


def open_bytes(file: Path | Member) -> io.BytesIO | io.BufferedReader:
    """The content of a file or member, for reading."""
    return io.BytesIO(file.read()) if isinstance(file, Member) else open(file, "rb")


def open_whole(path: str) -> IO[bytes]:
    """A file, or what is at an address, for reading from its beginning to its end."""
    if not is_address(path):
        return open(path, "rb")
    system, place = fsspec.core.url_to_fs(path)
    opened: IO[bytes] = system.open(place, "rb", block_size=READ_AHEAD, cache_type="readahead")
    return opened


def find_addresses(root: str, pattern: str) -> list[str]:
    """The names below `root`, a folder or an address, that match a pattern with `*`, sorted."""
    if not is_address(root):
        return sorted(str(path.relative_to(root)) for path in Path(root).glob(pattern) if path.is_file())
    system, place = fsspec.core.url_to_fs(root)
    start = place.rstrip("/") + "/"
    return sorted(str(path).removeprefix(start) for path in system.glob(f"{start}{pattern}"))


def describe_address(path: str) -> FileState:
    """Bytes of what is at a path or address, and a number that changes with it, as far as it tells.

    Raises:
        OSError: nothing is there.
    """
    if not is_address(path):
        os.stat(path)
        return read_state(path)
    system, place = fsspec.core.url_to_fs(path)
    facts: dict[str, Any] = system.info(place)
    version = str([facts.get(key) for key in ("ETag", "mtime", "LastModified", "last_modified", "created")])
    version += str(facts.get("blob_id", ""))  # of Hugging Face's hub
    number = int.from_bytes(hashlib.blake2b(version.encode(), digest_size=8).digest(), "big") >> 1
    return FileState(int(facts["size"] or 0), number)
