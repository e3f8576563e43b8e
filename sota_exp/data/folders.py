"""Which files are images, which folders are classes, and which names are those of splits."""

import functools
import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from sota_exp.data.listing import split_key
from sota_exp.data.listing_state import FileState, read_state
from sota_exp.data.open_image import FORMATS_NOT_DECODED
from sota_exp.data.store_writer import TEST, TRAIN, VAL

#: Usual names of the splits, those of Hugging Face's `datasets` and others; see `find_split`.
SPLIT_NAMES = dict.fromkeys(("train", "training", "trainings", "trn"), TRAIN)
SPLIT_NAMES |= dict.fromkeys(("val", "valid", "validate", "validation", "dev"), VAL)
SPLIT_NAMES |= dict.fromkeys(("test", "testing", "tests", "tst", "eval", "evaluation", "holdout", "heldout"), TEST)

#: What stands before or after the name of a split: seg_train, Training_set, val2017.
ADDITION = "set|split|data|dataset|images|imgs|img|seg"
ADDITIONS = re.compile(rf"^(?:{ADDITION})[ _.-]|[ _.-]?(?:{ADDITION})$|[ _.-]?\d+$")

#: The words and numbers of a name: pets, Train and 2 of `petsTrain_2`.
WORDS = re.compile(r"\d+|[A-Z]+(?![^\W\d_A-Z])|[A-Z]?[^\W\d_A-Z]+")

#: Names of columns that may say the split of an image, beside those whose values do: set, cv_fold, is_test, trainval.
SPLIT_COLUMN = re.compile(r"^(set|part|phase|usage|purpose)$|split|subset|partition|fold|(^|_)(train|test|val)")

#: Begins or ends a name that is none of `SPLIT_NAMES`, but may mean a split: Trainingsdaten, Xtest, tr.
ALMOST_SPLIT = re.compile(r"^(train|test|val)|(train|test|val)$|^(tr|te|va)$", re.IGNORECASE)

#: Folders that other programs leave, beside hidden ones.
FOREIGN_FOLDERS = ("__MACOSX", "__pycache__", "@eaDir", "lost+found")


log = logging.getLogger(__name__)


def find_split(name: str) -> int | None:
    """The split of this usual name, in any case and with an addition such as `_set` or a year; None for other names."""
    return SPLIT_NAMES.get(ADDITIONS.sub("", name.strip().lower()))


def find_splits(names: Sequence[str]) -> dict[str, int]:
    """Name → split, of the names that lie beside each other and are those of splits.

    By `find_split`; or if all share their text but for one word, a different split's, and numbers: pets_train and
    pets_test, 1_train and 2_test.
    """
    usual = {name: split for name in names if (split := find_split(name)) is not None}
    if usual:
        return usual
    found = find_split_words(names)
    is_alike = len({WORDS.sub(replace_word, name) for name in names}) == 1 and len(found) == len(names)
    return found if is_alike and len(set(found.values())) == len(found) > 1 else {}


def find_split_words(names: Sequence[str]) -> dict[str, int]:
    """Name → split, of the names that contain one usual name of a split as a word: trainA, but not trainer."""
    words = {name: [word.lower() for word in WORDS.findall(name) if word.lower() in SPLIT_NAMES] for name in names}
    return {name: SPLIT_NAMES[found[0]] for name, found in words.items() if len(found) == 1}


def are_almost_splits(names: Sequence[str]) -> bool:
    """Whether names that lie beside each other all begin or end as those of splits, and not all in the same way."""
    found = [ALMOST_SPLIT.search(name) for name in names]
    return len({match.group().lower() for match in found if match}) > 1 and all(found)


def replace_word(match: re.Match[str]) -> str:
    """`*` for a number or a usual name of a split, any other word as it is."""
    word = match.group().lower()
    return "*" if word in SPLIT_NAMES or word.isdigit() else word


@functools.cache
def get_image_endings() -> frozenset[str]:
    """The endings, such as `.jpg`, of all files that the installed Pillow decodes."""
    endings = Image.registered_extensions().items()
    decoded = {ending for ending, name in endings if name in Image.OPEN and name not in FORMATS_NOT_DECODED}
    return frozenset(decoded | {".mpo"})  # Pillow opens it as a JPEG.


def is_image(name: str) -> bool:
    """Whether a file name is that of an image and not hidden (macOS writes `._photo.jpg` beside `photo.jpg`)."""
    return not name.startswith(".") and get_ending(name) in get_image_endings()


def get_ending(name: str) -> str:
    """`.jpg` for `photo.JPG`, and "" for a name without an ending."""
    return os.path.splitext(name)[1].lower()


def is_shown(folder: str) -> bool:
    """Whether a folder of this name can hold images: not hidden, and not left by another program."""
    return not folder.startswith(".") and folder not in FOREIGN_FOLDERS


def list_subfolders(folder: Path) -> list[Path]:
    """The folders in a folder that are not hidden, sorted by name."""
    with os.scandir(folder) as entries:  # which asks nothing more of the system for a file
        folders = [each for each in entries if (os.path.isdir(each) if each.is_symlink() else each.is_dir())]
    return sorted(folder / each.name for each in folders if is_shown(each.name))


def has_images(folder: Path) -> bool:
    """Whether image files lie in the folder itself."""
    return any(is_image(path.name) for path in folder.iterdir())


class FoundFiles(NamedTuple):
    """The image files below a folder, in order; ending → number of others; whether links lie there."""

    paths: list[str]
    states: list[FileState]
    others: Counter[str]
    has_links: bool


def find_image_files(folder: Path) -> tuple[list[Path], Counter[str]]:
    """The image files in a folder and all below it, sorted by path, and ending → number of other files; none hidden."""
    found = scan_image_files(folder)
    return list(map(Path, found.paths)), found.others


def scan_image_files(folder: Path) -> FoundFiles:
    """All image files in a folder and below it; none hidden.

    Links to folders are followed, but for those to a folder above them or to one that is read already, which are
    logged.
    """
    found: list[tuple[str, FileState]] = []
    others: Counter[str] = Counter()
    walked: set[str] = set()
    waiting = [str(folder)]  # links, until all folders proper are read
    has_links = folder.is_symlink()
    for place in waiting:
        if place != str(folder) and is_link_back(Path(place), walked):
            continue
        inner = [place]
        while inner:
            folders: list[str] = []
            parent = inner.pop()
            walked.add(os.path.realpath(parent))
            for entry in scan_folder(parent):
                name, is_link = entry.name, entry.is_symlink()
                is_dir = os.path.isdir(entry) if is_link else entry.is_dir()
                has_links |= is_link
                if is_dir and is_shown(name):  # not .ipynb_checkpoints
                    (waiting if is_link else folders).append(entry.path)
                elif not is_dir and is_image(name):
                    found.append((entry.path, read_state(entry)))
                elif not is_dir and not name.startswith("."):
                    others[get_ending(name)] += 1
            inner += [path for path in sorted(folders, reverse=True) if os.path.realpath(path) not in walked]
    found.sort(key=lambda item: split_key(item[0]))
    return FoundFiles([path for path, _ in found], [state for _, state in found], others, has_links)


def scan_folder(folder: str) -> list[os.DirEntry[str]]:
    """What lies in a folder, sorted by name; nothing where it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []


def is_link_back(link: Path, walked: set[str]) -> bool:
    """Whether a link leads to a folder above it or to one of `walked`, real paths; this is logged."""
    real, is_above = os.path.realpath(link), leads_above(link)
    if is_above or real in walked:
        reason = "a folder above it" if is_above else "a folder that is read already"
        log.warning("%s is a link to %s, %s, and not followed", link, real, reason)
    return is_above or real in walked


def find_real_places(root: Path, paths: Iterable[Path]) -> list[tuple[str, bool]]:
    """Of every file below `root`: its path without links, and whether it is a link or lies behind one below `root`."""
    resolve, real_root, start = functools.cache(os.path.realpath), os.path.realpath(root), len(str(root))
    found = []
    for path in paths:
        parent, name = os.path.split(path)
        real = os.path.realpath(path) if path.is_symlink() else os.path.join(resolve(parent), name)
        found.append((real, real != real_root + str(path)[start:]))
    return found


def leads_above(link: Path) -> bool:
    """Whether the path is a link to a folder above it."""
    return link.is_symlink() and Path(os.path.realpath(link.parent)).is_relative_to(os.path.realpath(link))


def describe_endings(others: Mapping[str, int]) -> str:
    """`12 .heic, 1 without an ending`."""
    return ", ".join(f"{num} {ending or 'without an ending'}" for ending, num in sorted(others.items()))
