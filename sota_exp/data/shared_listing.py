"""Makes the listing of a large data set once for all processes of a machine, in the cache.

The folder `listings/<digest>` has the listing that its digest names, so nothing in it ever changes; a small file beside
it says which one a request gave last. A request that tells all that the listing depends on, such as the sizes and times
of archives, is answered from there. Other listings are made anew by each command, as nothing else tells whether files
came or went; the further processes of a training wait for the first one, or come later, and map what it wrote. A
listing tells nothing of files that came after it began: who waited for it without having been there then makes another.
"""

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from filelock import FileLock

from sota_exp.config.data_paths import expand_home
from sota_exp.data.listing import Listing, open_listing
from sota_exp.runs.atomic import write_recomputable_text

#: Images from which on a data set is large: its listing is shared, and its digest made from a sample of its contents.
LARGE = 50_000

#: What is raised for files of listings that are not there or damaged.
DAMAGES = (OSError, ValueError, KeyError, TypeError)

log = logging.getLogger(__name__)


_since: ContextVar[float | None] = ContextVar("_since", default=None)


@contextmanager
def listed_since(moment: float) -> Iterator[None]:
    """While entered, listings that were begun since a moment, in seconds since 1970, are not made again."""
    token = _since.set(moment)
    try:
        yield
    finally:
        _since.reset(token)


def share_listing(cache: str, request: list[Any], make: Callable[[], Listing], is_complete: bool = False) -> Listing:
    """The listing that `make` returns, mapped from files where it is large.

    It is not made where another process began it for this request since the moment of `listed_since`. request: what is
    listed, in JSON. is_complete: the request tells all that the listing depends on, so that it need not be made again.
    A cache that cannot be written is not used.
    """
    folder = expand_home(cache).absolute() / "listings"
    latest = folder / f"{hashlib.blake2b(json.dumps(request).encode(), digest_size=12).hexdigest()}.json"
    since = 0.0 if is_complete else _since.get() or time.time()
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(latest.with_suffix(".lock")))
        except OSError:
            return read_latest(latest, since) or make()
        if (found := read_latest(latest, since)) is not None:
            return found
        began, made = time.time(), make()
        return keep(made, latest, began) if len(made) >= LARGE or is_complete else made


def read_latest(latest: Path, since: float) -> Listing | None:
    """The listing that the file `latest` names, if it was begun after `since` and is whole; else None."""
    try:
        known = json.loads(latest.read_text())
        return open_listing(latest.parent / known["listing"]) if known["began"] >= since else None
    except DAMAGES:
        return None


def keep(listing: Listing, latest: Path, began: float) -> Listing:
    """The same listing, mapped from a folder beside the file `latest`, which then names it. The caller has the lock."""
    place, draft = latest.with_name(listing.compute_digest()), latest.with_name(f".{latest.stem}.draft")
    try:
        if not is_whole(place):
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir()
            listing.save(draft)
            with suppress(OSError):  # Another request gave the same, a moment ago.
                draft.rename(place)
        write_recomputable_text(latest, json.dumps({"listing": place.name, "began": began}))
        return open_listing(place)
    except OSError as error:
        log.warning("the listing of %s can't be kept in data.cache: %s", listing.root, error)
        return listing
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def is_whole(place: Path) -> bool:
    """Whether a folder holds a listing; what is left of a damaged one is removed."""
    try:
        open_listing(place)
    except FileNotFoundError:
        return False
    except DAMAGES:
        shutil.rmtree(place)
        return False
    return True
