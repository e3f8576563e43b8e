"""Per-process cache of opened data sets, invalidated when a file changes: every run of a sweep or study opens one.

To list 20,000 files, hash the list and open their store takes 0.5 s; to check that none has changed, 0.1 s.
"""

import os
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from sota_exp.config.hashing import compute_digest
from sota_exp.data.decode import ImageFile
from sota_exp.data.image_files import FileStates, read_file_states
from sota_exp.data.store import DamagedStore, ImageStore, open_store
from sota_exp.stages.data import DataSet, DataSource

#: Number of data sets in the cache.
MAX_CACHED = 4


@dataclass(frozen=True, kw_only=True)
class CachedDataSet:
    """A data set, the paths that it depends on, joined by zero bytes (a million take 60 MB), and their `FileStates`."""

    data: DataSet
    paths: bytes
    states: FileStates

    def is_valid(self) -> bool:
        """Whether no path has changed and the store is undamaged."""
        images = self.data.images
        try:
            is_whole = not isinstance(images, ImageStore) or open_store(images.path) is images
            return is_whole and np.array_equal(read_file_states(self.paths.split(b"\0")), self.states)
        except (OSError, DamagedStore):
            return False


_cache: OrderedDict[str, CachedDataSet] = OrderedDict()


def open_cached(
    source: DataSource,
    besides: Callable[[], Iterable[Path]],
    find: Callable[[], list[ImageFile]],
    make: Callable[[list[ImageFile], FileStates], DataSet],
) -> DataSet:
    """The data set of a source from the cache; built by `find` and `make` where it is not there or a file has changed.

    besides: paths other than images that must not have changed: folders, a CSV file. find: lists the images. make:
    opens the data set from the images and their `FileStates`.
    """
    key = compute_digest([type(source).__qualname__, asdict(source)])
    cached = _cache.pop(key, None)
    if cached is None or not cached.is_valid():
        # States are read before the files, so that a change in between is noticed the next time.
        others = [os.fsencode(path) for path in besides()]
        before = read_file_states(path for path in others if os.path.exists(path))
        found = find()
        images = [os.fsencode(image.path) for image in found]
        states = read_file_states(images)
        paths = b"\0".join([*others, *images])
        cached = CachedDataSet(data=make(found, states), paths=paths, states=np.concatenate([before, states]))
    _cache[key] = cached
    if len(_cache) > MAX_CACHED:
        _cache.popitem(last=False)
    return cached.data
