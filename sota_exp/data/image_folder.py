"""A data set in folders of images, one per class, with or without folders for train, val and test."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from sota_exp.config.data_paths import expand_home, find_path_problem
from sota_exp.config.values import join_first
from sota_exp.data.folders import (
    are_almost_splits,
    describe_endings,
    find_split,
    find_split_words,
    find_splits,
    has_images,
    is_image,
    leads_above,
    list_subfolders,
    scan_image_files,
)
from sota_exp.data.image_files import FileList, FileSource
from sota_exp.data.linked_copies import drop_linked_copies, has_links_between
from sota_exp.data.listing import Listing, ListingWriter
from sota_exp.data.read_files import Progress
from sota_exp.data.shared_listing import share_listing
from sota_exp.data.store_writer import TEST, TRAIN, VAL
from sota_exp.stages.stage import InvalidValue, added_field, one_of

#: Split → its name in messages.
SPLIT_WORDS = {TRAIN: "train", VAL: "val", TEST: "test"}

#: Number of classes or folders that a message names.
MAX_NAMED = 5

#: How to say that a root has no splits.
OTHERWISE = "data.layout=classes takes every folder in it as a class"

log = logging.getLogger(__name__)


def find_folder_images(root: Path, layout: str = "auto") -> Listing:
    """Every image under `root`, sorted by split, class and path. layout: as the field of `ImageFolder`.

    Raises:
        InvalidValue: `root` is no folder, has no images, is not organized as classes, or can be read as splits and as
            classes.
    """
    if problem := find_path_problem(root, is_folder=True):
        raise InvalidValue("root", root, problem)
    folders = {} if layout == "classes" else find_split_folders(root, OTHERWISE)
    if layout != "classes":
        check_not_ambiguous(root, folders)
    found = list_split_images(root, folders or {TRAIN: root})
    if not found:
        legal = "a folder with a sub-folder of images for each class; no image was found in one"
        raise InvalidValue("root", root, legal)
    if not folders:
        check_not_nested(root)
    return found


def find_split_folders(root: Path, otherwise: str = "", splits: Sequence[int] = (TRAIN, VAL, TEST)) -> dict[int, Path]:
    """Split → the folder of its class folders, by the names of the folders in `root`; {} where these are classes.

    Where this is not obvious, what is understood is logged, with `otherwise`. splits: those that are looked for.

    Raises:
        InvalidValue: two folders are the same split.
    """
    found: dict[int, Path] = {}
    folders = list_subfolders(root)
    split_by_name = find_splits([folder.name for folder in folders])
    for folder in folders:
        split = split_by_name.get(folder.name)
        if split is None or split not in splits or not list_subfolders(folder):
            continue
        if split in found:
            raise InvalidValue("root", root, f"one folder per split, not {found[split].name} and {folder.name}")
        found[split] = folder
    others = [folder.name for folder in folders if folder.name not in split_by_name]
    if set(found) == {TRAIN} and others and has_images(found[TRAIN]):
        log.warning(
            "%s: %s is a class like %s, as images lie in it beside its folders; without these images it is a split",
            root,
            found[TRAIN].name,
            join_first(others, MAX_NAMED),
        )
        return {}
    if TRAIN in found:
        ignored = [folder.name for folder in folders if folder not in found.values()]
        if ignored or {SPLIT_WORDS[split] for split in found} != {folder.name for folder in found.values()}:
            understood = ", ".join(f"{folder.name} is {SPLIT_WORDS[split]}" for split, folder in sorted(found.items()))
            rest = explain_ignored(ignored, split_by_name)
            level, hint = logging.WARNING if ignored else logging.INFO, f"; {otherwise}" if otherwise else ""
            log.log(level, "%s: %s%s%s", root, understood, rest, hint)
    return {split: skip_equal_folder(folder, split) for split, folder in found.items()}


def explain_ignored(names: Sequence[str], split_by_name: Mapping[str, int]) -> str:
    """Why folders beside train are no splits: by their names, or as no class folders of a split of use are in them."""
    unnamed = [name for name in names if name not in split_by_name]
    others = [name for name in names if name in split_by_name]
    named = "val, valid, validate, dev, test, holdout"
    return (f"; ignored: {join_first(unnamed, MAX_NAMED)}, not named as a split ({named} …)" if unnamed else "") + (
        f"; ignored: {join_first(others, MAX_NAMED)}, no split with one folder per class" if others else ""
    )


def skip_equal_folder(folder: Path, split: int) -> Path:
    """The folder, or the only one in it where this has its name or that of the split, as in `seg_train/seg_train`."""
    inner = [path for path in list_subfolders(folder) if path.name == folder.name or find_split(path.name) == split]
    return inner[0] if len(list_subfolders(folder)) == len(inner) == 1 else folder


def check_not_ambiguous(root: Path, found: dict[int, Path]) -> None:
    """Check that folders named like splits are not learned as classes. found: those with class folders in them.

    Raises:
        InvalidValue: there are others beside val or test but no train, all are named like splits without classes, or
            the names of folders of folders contain those of several splits.
    """
    folders = list_subfolders(root)
    named = list(find_splits([folder.name for folder in folders]))
    if found and TRAIN not in found and len(named) < len(folders):
        legal = f"a folder train beside {join_first(named, MAX_NAMED)}, or only folders of classes; {OTHERWISE}"
        raise InvalidValue("root", root, legal)
    if named and not found and len(named) == len(folders):
        legal = f"one folder per class in {join_first(named, MAX_NAMED)}, which are named like splits; {OTHERWISE}"
        raise InvalidValue("root", root, legal)
    outer = [] if named else [each for each in folders if not has_images(each) and list_subfolders(each)]
    words = find_split_words([folder.name for folder in outer])
    if len(set(words.values())) > 1:
        legal = f"splits whose names differ in one word alone, not {join_first(list(words), MAX_NAMED)}; {OTHERWISE}"
        raise InvalidValue("root", root, legal)
    if not found and len(folders) > 1:
        check_no_split_is_a_class(root, folders)
    if len(outer) == len(folders) > 1 and all(len(list_subfolders(folder)) > 1 for folder in outer):
        log.warning(
            "%s: %s are taken as classes, but no images lie in them beside their folders, such as %s; if these are the "
            "classes, put them into one folder, or into train and test; %s",
            root,
            *(join_first([each.name for each in some], MAX_NAMED) for some in (outer, list_subfolders(outer[0]))),
            OTHERWISE,
        )


def check_no_split_is_a_class(root: Path, folders: Sequence[Path]) -> None:
    """Check that no images of a split are learned under a class. folders: those in `root`, which would be the classes.

    Raises:
        InvalidValue: one is named as val or test, or has such a folder in it; all are named almost as splits; or
            folders without images have folders of the same names in them.
    """
    parts = [folder.name for folder in folders if is_val_or_test(folder)]
    if parts:
        legal = f"folders of classes alone, but {join_first(parts, MAX_NAMED)} beside them would be learned as a class"
        raise InvalidValue("root", root, f"{legal}: move it away, or make train/CLASS and test/CLASS; {OTHERWISE}")
    inner = [part for folder in folders for part in list_subfolders(folder) if is_val_or_test(part)]
    if inner:
        part, name = inner[0].name, inner[0].parent.name
        legal = (
            f"splits above classes, such as {part}/{name}; {name}/{part} would be trained on as a part of class {name}"
        )
        raise InvalidValue("root", root, f"{legal}; {OTHERWISE}, with all that lies in it")
    outer = [folder for folder in folders if not has_images(folder)]
    counts = Counter(inner.name for folder in outer for inner in list_subfolders(folder))
    shared = [name for name, count in counts.items() if count > 1]
    if len(shared) > 1 or are_almost_splits([folder.name for folder in folders]):
        alike = [folder for folder in folders if {inner.name for inner in list_subfolders(folder)} & set(shared)]
        names = join_first([folder.name for folder in alike or folders], MAX_NAMED)
        classes = f", each with {join_first(sorted(shared), MAX_NAMED)}" if shared else ""
        legal = f"classes or splits, but {names}{classes} may be either: name splits train, val, test; {OTHERWISE}"
        raise InvalidValue("root", root, legal)


def is_val_or_test(folder: Path) -> bool:
    """Whether a folder is named as a split that no class should be trained on; train is a vehicle too."""
    return find_split(folder.name) in (VAL, TEST)


def list_split_images(root: Path, folders: dict[int, Path]) -> Listing:
    """Every image in the class folders of the splits (split → folder below `root`), sorted by split, class and path.

    What is left out is counted in warnings: files whose ending Pillow does not know, and all outside of class folders.

    Raises:
        InvalidValue: nothing is left of a class: its folder has other files alone, is a link to nothing or to
            a folder above it or to other classes, or, in train, has no files.
    """
    listed, start, progress = ListingWriter(root), len(str(Path(root, "x"))) - 1, Progress(f"{root}: listed")
    left_out: dict[str, Counter[str]] = {}
    has_links = has_links_between(root, folders.values())
    warn_of_stray_files(root, folders.values())
    for split, split_folder in sorted(folders.items()):
        for link in filter(Path.is_symlink, split_folder.iterdir()):
            if not link.exists():
                raise InvalidValue("root", root, find_path_problem(link, is_folder=True))
            if leads_above(link):
                legal = f"a folder of classes, but {link} is a link to {link.resolve()}, a folder above it; remove it"
                raise InvalidValue("root", root, legal)
        for folder in list_subfolders(split_folder):
            found = scan_image_files(folder)
            if not found.paths and (found.others or split == TRAIN):
                unread = f"only {describe_endings(found.others)}, which Pillow does not read; convert them, or"
                problem = unread if found.others else "no files; put images into it, or"
                legal = f"a folder of classes with images, but {folder} has {problem} remove the folder"
                raise InvalidValue("root", root, legal)
            names = [path[start:] for path in found.paths]
            listed.add(names, found.states, [folder.name] * len(names), split)
            has_links |= found.has_links
            progress.add(len(names))
            if found.others:
                left_out.setdefault(folder.name, Counter()).update(found.others)
    for split in sorted(folders.keys() - listed.splits):
        log.warning(
            "%s: no image lies in the class folders of %s; it is as if there were none", root, folders[split].name
        )
    listing = drop_linked_copies(root, listed.finish(), folders) if has_links else listed.finish()
    if left_out:
        num = sum(sum(others.values()) for others in left_out.values())
        named = "; ".join(f"{name}: {describe_endings(left_out[name])}" for name in sorted(left_out)[:MAX_NAMED])
        more = f"; {len(left_out) - MAX_NAMED} more classes" if len(left_out) > MAX_NAMED else ""
        are = "file is" if num == 1 else "files are"
        log.warning("%s: %d %s left out, by their endings not images for Pillow: %s%s", root, num, are, named, more)
    return listing


def warn_of_stray_files(root: Path, folders: Iterable[Path]) -> None:
    """Say which files lie outside of class folders: in `root`, in the split folders, and between them. None hidden."""
    between = {folder for split in folders for folder in (split, *split.parents) if folder.is_relative_to(root)}
    for folder in sorted({root, *between}):
        stray = sorted(path.name for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
        images = [name for name in stray if is_image(name)]
        for names, word in ((images, "image"), ([name for name in stray if name not in images], "other file")):
            if names:
                num = f"{len(names)} {word}s in no class folder are" if names[1:] else f"1 {word} in no class folder is"
                log.warning("%s: %s left out: %s", folder, num, join_first(names, MAX_NAMED))


def check_not_nested(root: Path) -> None:
    """Check that the classes are not one folder deeper, as after unpacking an archive.

    Raises:
        InvalidValue: they are.
    """
    place = root
    while len(inner := list_subfolders(place)) == 1 and not leads_above(inner[0]):
        place = inner[0]
    if place != root and len(inner) > 1:
        names = ", ".join(folder.name for folder in inner[:MAX_NAMED])
        only = "its only one" if place.parent == root else f"its only one is {place.relative_to(root)}, which"
        raise InvalidValue("root", root, f"one folder per class; {only} contains {names}. Did you mean {place}?")


@dataclass(frozen=True, kw_only=True)
class ImageFolder(FileSource):
    """`root/<class>/…` or `root/{train,val,test}/<class>/…`; missing splits are taken from train.

    layout: `auto` takes folders with usual names of splits as splits (train, Training, valid …), `classes` every folder
    as a class.
    """

    root: str
    layout: Annotated[str, one_of("auto", "classes")] = added_field("auto")

    def list_files(self) -> FileList:
        root = expand_home(self.root)
        request = ["image_folder", str(root.absolute()), self.layout]
        found = share_listing(self.cache, request, lambda: find_folder_images(root, self.layout))
        return FileList(root, found, "root")
