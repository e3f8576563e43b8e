"""A set of files is put together once a process, for as long as none of them changes: a sweep or a study asks for it in every run.

To list 20,000 files, hash the list and open what was decoded of them takes half a second; to look whether one has changed, a tenth.
"""

import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sota_exp.config import digest
from sota_exp.data.image_files import Found
from sota_exp.data.store import ImageStore
from sota_exp.stages import DataSet, Source

#: How many sets a process remembers.
MOST = 4


@dataclass(frozen=True, kw_only=True)
class Remembered:
    """A set, what it was made of, and the state of that then."""

    data: DataSet
    paths: Sequence[str]
    states: list[tuple[int, int]]

    def holds(self) -> bool:
        """Whether all that is as it was, and the store that was made of it is still there."""
        images = self.data.images
        lies_there = not isinstance(images, ImageStore) or images.path.is_dir()
        return lies_there and states_of(self.paths) == self.states


_remembered: OrderedDict[str, Remembered] = OrderedDict()


def remembered(
    source: Source,
    find: Callable[[], tuple[list[Found], Iterable[Path]]],
    make: Callable[[list[Found]], DataSet],
) -> DataSet:
    """The set that `make` gives of the images that a source finds; anew where one of them has changed since.

    find: gives the images, and what else must not have changed: folders, a table.
    """
    key = digest([type(source).__qualname__, asdict(source)])
    held = _remembered.pop(key, None)
    if held is None or not held.holds():
        found, besides = find()
        paths = [*map(str, besides), *(str(image.path) for image in found)]
        states = states_of(paths)  # before they are read: what changes meanwhile is found changed the next time
        held = Remembered(data=make(found), paths=paths, states=states or [])
    _remembered[key] = held
    if len(_remembered) > MOST:
        _remembered.popitem(last=False)
    return held.data


def states_of(paths: Iterable[str]) -> list[tuple[int, int]] | None:
    """Time of the last change and size of each file or folder; None where one is missing."""
    try:
        return [(state.st_mtime_ns, state.st_size) for state in map(os.stat, paths)]
    except OSError:
        return None


def folders_below(root: Path) -> list[Path]:
    """The folder and all below it, which change where a name in them comes or goes."""
    return [Path(parent) for parent, _, _ in os.walk(root, followlinks=True)]
