"""Reads many images in threads. All that cannot be read are named at once, so that they can be repaired at once."""

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sota_exp.data.store_writer import UnreadableImage
from sota_exp.errors import RunFailed

log = logging.getLogger(__name__)

# Number of decoded images in memory at once: 16 of 24 megapixels take a gigabyte.
MAX_DECODED = 16

In = TypeVar("In")
Out = TypeVar("Out")


def map_in_threads(function: Callable[[In], Out], items: Sequence[In]) -> Iterator[Out]:
    """`function` of every item in order, in threads (decoding releases the GIL), `MAX_DECODED` results at a time."""
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(items), MAX_DECODED):
            yield from pool.map(function, items[start : start + MAX_DECODED])


def read_all(read: Callable[[In], Out], items: Sequence[In]) -> Iterator[Out]:
    """`read` of every item, as `map_in_threads`. Of several unreadable files, each is logged.

    Raises:
        UnreadableImage: at the end, if one file cannot be read.
        RunFailed: at the end, if several cannot be read, with their number.
    """

    def attempt(item: In) -> Out | UnreadableImage:
        try:
            return read(item)
        except UnreadableImage as error:
            return error

    unreadable: list[UnreadableImage] = []
    for found in map_in_threads(attempt, items):
        if isinstance(found, UnreadableImage):
            unreadable.append(found)
        else:
            yield found
    if len(unreadable) > 1:
        for error in unreadable:
            log.warning("%s", error)
        raise RunFailed(f"{len(unreadable)} files can't be read as images; fix or remove them: they are named above")
    if unreadable:
        raise unreadable[0]
