"""Looks for a secret word: in every file below a folder, and among the arguments of every program."""

import base64
import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

CANARY = "c4nary-7f3a"


def spell(word: str) -> list[bytes]:
    """The ways in which a file can have the word: as it is, in an address, in base64 at any place."""
    padded = [base64.b64encode(b" " * num + word.encode())[4:-4] for num in range(3)]
    return [word.encode(), quote(word, safe="").encode(), *padded]


def find_in_files(folder: Path, word: str = CANARY) -> list[str]:
    """The files below `folder` that contain the word, or have it in their name, relative to it."""
    found = []
    for path in sorted(folder.rglob("*")):
        content = os.fsencode(path.name)
        if path.is_file() and not path.is_symlink():
            content += path.read_bytes()
        if any(form in content for form in spell(word)):
            found.append(str(path.relative_to(folder)))
    return found


@contextlib.contextmanager
def watch_arguments(word: str = CANARY, ignored: float = 0.0) -> Iterator[set[str]]:
    """While entered, collects the arguments of all programs that have the word.

    ignored: seconds at the beginning, in which a program that was given the word starts itself again without.
    """
    found: set[str] = set()
    ended = threading.Event()

    def look() -> None:
        ended.wait(ignored)
        while not ended.wait(0.05):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    words = path.read_bytes()
                    if any(form in words for form in spell(word)):
                        found.add(words.replace(b"\0", b" ").decode(errors="replace"))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield found
    finally:
        ended.set()
        watcher.join()
