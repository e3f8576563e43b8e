"""How large a file is and when it was changed."""

import os
from pathlib import Path
from typing import NamedTuple


class FileState(NamedTuple):
    """Bytes and time of change, in ns since 1970, of a file; both 0 where it cannot be reached."""

    size: int
    time: int


def read_state(path: str | Path | os.DirEntry[str]) -> FileState:
    """The state of a file, links followed."""
    try:
        found = path.stat() if isinstance(path, os.DirEntry) else os.stat(path)
    except OSError:
        return FileState(0, 0)
    return FileState(found.st_size, found.st_mtime_ns)
