"""Reads `predictions.npz`, the arrays of a run."""

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sota_exp.errors import DamagedFile, first_line
from sota_exp.runs.digests import read_checked

if TYPE_CHECKING:
    from numpy.lib.npyio import NpzFile

#: Most bytes that compressed arrays may unpack to: runs compress mistakes alone, which are a few images.
MOST_UNPACKED = 2**28


@contextmanager
def open_arrays(path: Path) -> "Iterator[NpzFile]":
    """While entered, the arrays in a file of NumPy of a run, read when they are used.

    Raises:
        DamagedFile: it is not as the run wrote it, or no such file.
        OSError: it cannot be read.
    """
    import numpy as np
    from numpy.lib.npyio import NpzFile

    content = io.BytesIO(read_checked(path))
    try:
        found = np.load(content, allow_pickle=False)
        if not isinstance(found, NpzFile):
            raise DamagedFile(path, "it is an array, not a file of arrays")
        packed = [
            each.file_size
            for each in (found.zip.infolist() if found.zip else ())
            if each.compress_type != zipfile.ZIP_STORED
        ]
        if sum(packed) > MOST_UNPACKED:
            raise DamagedFile(path, f"it unpacks to {sum(packed) / 2**20:,.0f} MiB, which no run writes")
        with found:
            yield found
    except DamagedFile:
        raise
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DamagedFile(path, f"it has no arrays of NumPy: {first_line(error)}") from error
