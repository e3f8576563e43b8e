"""A set of files is put together once a process, for as long as none of them changes: a sweep or a study asks for it in every run.

To list 20,000 files, hash the list and open what was decoded of them takes half a second; to look whether one has changed, a tenth.
"""

import os
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from sota_exp.config.hashing import digest
from sota_exp.data.decode import Found
from sota_exp.data.image_files import States, states_of
from sota_exp.data.store import DamagedStore, ImageStore, open_store
from sota_exp.stages.data import DataSet, Source

#: How many sets a process remembers.
MOST = 4


@dataclass(frozen=True, kw_only=True)
class Remembered:
    """A set, the paths that it rests on, one after the other with zeros between them (a million take 60 MB), and their state."""

    data: DataSet
    paths: bytes
    states: States

    def holds(self) -> bool:
        """Whether all that is as it was, and the store that was made of it is whole."""
        images = self.data.images
        try:
            is_whole = not isinstance(images, ImageStore) or open_store(images.path) is images
            return is_whole and np.array_equal(states_of(self.paths.split(b"\0")), self.states)
        except (OSError, DamagedStore):
            return False


_remembered: OrderedDict[str, Remembered] = OrderedDict()


def remembered(
    source: Source,
    besides: Callable[[], Iterable[Path]],
    find: Callable[[], list[Found]],
    make: Callable[[list[Found], States], DataSet],
) -> DataSet:
    """The set that `make` gives of the images that a source finds, and of their states; anew where one of them has changed since.

    besides: what else must not have changed: folders, a table. find: raises `InvalidValue` where there is no set.
    """
    key = digest([type(source).__qualname__, asdict(source)])
    held = _remembered.pop(key, None)
    if held is None or not held.holds():
        # States are taken before what they tell is read: whatever changes meanwhile is found changed the next time.
        others = [os.fsencode(path) for path in besides()]
        before = states_of(path for path in others if os.path.exists(path))
        found = find()
        images = [os.fsencode(image.path) for image in found]
        states = states_of(images)
        paths = b"\0".join([*others, *images])
        held = Remembered(data=make(found, states), paths=paths, states=np.concatenate([before, states]))
    _remembered[key] = held
    if len(_remembered) > MOST:
        _remembered.popitem(last=False)
    return held.data
