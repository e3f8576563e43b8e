"""Reads many images in threads. All that cannot be read are named at once, so that they can be repaired at once."""

import logging
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

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
        self.num = 0

    def add(self, num: int) -> None:
        """Count further images."""
        self.num += num
        now = time.monotonic()
        if now - self.said < SAY_EVERY:
            return
        self.said = now
        rate = self.num / (now - self.began)
        if self.total is None:
            log.info("%s %s images, %.0f a second", self.words, f"{self.num:,}", rate)
            return
        done, minutes = f"{self.num:,} of {self.total:,} images", (self.total - self.num) / rate / 60
        log.info("%s %s, %.0f a second, %.1f minutes left", self.words, done, rate, minutes)


def is_watched() -> bool:
    """Whether somebody sees a bar: this is the process at a terminal, and tells what it does."""
    is_first = multiprocessing.current_process().name == "MainProcess"
    return is_first and sys.stdout.isatty() and log.isEnabledFor(logging.INFO)


@contextmanager
def show_progress(words: str, total: int) -> Iterator[Callable[[int], None]]:
    """A function that counts further images: in a bar on a terminal, else in the log."""
    if not is_watched():
        yield Progress(words, total).add
        return
    from rich.console import Console

    from sota_exp.config.progress_bar import make_bar

    began = time.monotonic()
    with make_bar(Console()) as bar:
        task = bar.add_task(words, total=total, left="")

        def add(num: int) -> None:
            bar.advance(task, num)
            done = bar.tasks[task].completed
            rate = done / max(time.monotonic() - began, 1e-9)
            seconds = (total - done) / rate
            left = f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
            bar.update(task, left=f"{rate:,.0f} images/s  {left} left")

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


def read_all(read: Callable[[In], Out], items: Sequence[In]) -> Iterator[Out]:
    """`read` of every item, as `map_in_threads`. Of several unreadable files, each is logged; so is how far it is.

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
    with show_progress("reading images", len(items)) as add:
        for found in map_in_threads(attempt, items):
            add(1)
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
