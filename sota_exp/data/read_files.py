"""Reads many images in threads. All that cannot be read are named at once, so that they can be repaired at once."""

import logging
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from rich.filesize import decimal

from sota_exp.data.store_writer import UnreadableImage
from sota_exp.errors import RunFailed

log = logging.getLogger(__name__)

# Number of decoded images in memory at once: 16 of 24 megapixels take a gigabyte.
MAX_DECODED = 16

#: Seconds between two lines about how far a long reading is.
SAY_EVERY = 10.0

In = TypeVar("In")
Out = TypeVar("Out")


class Progress:
    """Says in the log how many images were read so far; nothing of a reading that takes seconds."""

    def __init__(self, words: str, total: int | None = None) -> None:
        """words: what is done, before the number. total: of how many images, if that is known."""
        self.words, self.total = words, total
        self.began = self.said = time.monotonic()
        self.num = self.num_bytes = 0

    def count(self, num: int, num_bytes: int = 0) -> None:
        """Count further images, and what they take in the store."""
        self.num += num
        self.num_bytes += num_bytes

    def add(self, num: int, num_bytes: int = 0) -> None:
        """Count, and say how far it is if that was not said lately."""
        self.count(num, num_bytes)
        now = time.monotonic()
        if now - self.said >= SAY_EVERY:
            self.said = now
            done = f"{self.num:,}" + (f" of {self.total:,}" if self.total is not None else "")
            log.info("%s %s images, %s", self.words, done, ", ".join(self.describe()))

    def describe(self) -> list[str]:
        """The rate; of a known number also about what all take in the store, and the time that the rest takes."""
        rate = self.num / max(time.monotonic() - self.began, 1e-9)
        if self.total is None:
            return [f"{rate:,.0f}/s"]
        size = [f"{decimal(self.num_bytes * self.total // self.num)} in all"] if self.num_bytes else []
        seconds = (self.total - self.num) / rate
        return [*size, f"{rate:,.0f}/s", f"{seconds:.0f} s left" if seconds < 100 else f"{seconds / 60:.0f} min left"]


def is_watched() -> bool:
    """Whether somebody sees a bar: this is the process at a terminal, and tells what it does."""
    is_first = multiprocessing.current_process().name == "MainProcess"
    return is_first and sys.stdout.isatty() and log.isEnabledFor(logging.INFO)


@contextmanager
def show_progress(words: str, total: int) -> Iterator[Callable[[int, int], None]]:
    """A function that counts further images and their bytes: in a bar on a terminal, else in the log."""
    progress = Progress(words, total)
    if not is_watched():
        yield progress.add
        return
    from rich.console import Console

    from sota_exp.config.progress_bar import make_bar

    with make_bar(Console()) as bar:
        task = bar.add_task(words, total=total, left="")

        def add(num: int, num_bytes: int = 0) -> None:
            progress.count(num, num_bytes)
            bar.update(task, advance=num, left="  ".join(progress.describe()))

        yield add


def map_in_threads(function: Callable[[In], Out], items: Sequence[In]) -> Iterator[Out]:
    """`function` of every item in order, in threads (decoding releases the GIL), `MAX_DECODED` results at a time."""
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(items), MAX_DECODED):
            yield from pool.map(function, items[start : start + MAX_DECODED])


def compute_ahead(function: Callable[[In], Out], items: Iterable[In]) -> Iterator[Out]:
    """`function` of every item in order; that of the next one is computed in a thread while one is used."""
    with ThreadPoolExecutor(1) as pool:
        ready: Future[Out] | None = None
        for item in items:
            before, ready = ready, pool.submit(function, item)
            if before is not None:
                yield before.result()
        if ready is not None:
            yield ready.result()


def read_all(
    read: Callable[[In], Out], items: Sequence[In], count_bytes: Callable[[Out], int] = lambda _: 0
) -> Iterator[Out]:
    """`read` of every item, as `map_in_threads`. Of several unreadable files, each is logged; so is how far it is.

    count_bytes: what of an item's bytes is stored.

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
    with show_progress("reading", len(items)) as add:
        for found in map_in_threads(attempt, items):
            if isinstance(found, UnreadableImage):
                add(1, 0)
                unreadable.append(found)
            else:
                add(1, count_bytes(found))
                yield found
    if len(unreadable) > 1:
        for error in unreadable:
            log.warning("%s", error)
        raise RunFailed(f"{len(unreadable)} files can't be read as images; fix or remove them: they are named above")
    if unreadable:
        raise unreadable[0]
