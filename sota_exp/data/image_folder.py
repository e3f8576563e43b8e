"""A data set in folders of images, one per class, with or without folders for train, val and test."""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sota_exp.data.decode import ImageFile
from sota_exp.data.image_files import SPLIT_NAMES, FileList, FileSource
from sota_exp.data.store_writer import TRAIN
from sota_exp.stages.stage import InvalidValue

EXTENSIONS = frozenset([".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"])

log = logging.getLogger(__name__)


def is_image(name: str) -> bool:
    """Whether a file name is that of an image and not hidden (macOS writes `._photo.jpg` beside `photo.jpg`)."""
    return not name.startswith(".") and Path(name).suffix.lower() in EXTENSIONS


def list_subfolders(folder: Path) -> list[Path]:
    """The folders in a folder that are not hidden, sorted by name."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def find_image_files(folder: Path) -> list[Path]:
    """The image files in a folder and all below it that are not hidden, sorted by path."""
    found: list[Path] = []
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]  # such as .ipynb_checkpoints
        found += [Path(parent, name) for name in names if is_image(name)]
    return sorted(found)


def has_splits(root: Path) -> bool:
    """Whether `root` has splits: a folder `train` of folders, without images (with images it is a class).

    Without a `train`, all its folders must be other splits: such a set can be scored, not learned.
    """
    folders = list_subfolders(root)
    named = [folder for folder in folders if folder.name == "train"] or folders
    return all(
        folder.name in SPLIT_NAMES
        and list_subfolders(folder)
        and not any(is_image(path.name) for path in folder.iterdir())
        for folder in named
    ) and bool(named)


def find_folder_images(root: Path) -> list[ImageFile]:
    """Every image under `root`, sorted by split, class and path.

    Raises:
        InvalidValue: `root` is not a folder, has no images, or is not organized as classes.
    """
    if not root.is_dir():
        raise InvalidValue("root", root, "a folder of images" if not root.exists() else "a folder, this is a file")
    found = list_split_images(find_split_folders(root, SPLIT_NAMES) if has_splits(root) else {TRAIN: root})
    if not found:
        legal = "a folder with a sub-folder of images for each class; no image was found in one"
        raise InvalidValue("root", root, legal)
    if not has_splits(root):
        check_not_nested(root)
    return found


def list_split_images(folders: dict[int, Path]) -> list[ImageFile]:
    """Every image in the class folders of the splits (split → folder), sorted by split, class and path."""
    return [
        ImageFile(path, class_folder.name, split)
        for split, split_folder in sorted(folders.items())
        for class_folder in list_subfolders(split_folder)
        for path in find_image_files(class_folder)
    ]


def find_split_folders(root: Path, parts: Mapping[str, int]) -> dict[int, Path]:
    """Split → its folder in `root`; other folders are ignored and logged. parts: name of a folder → split.

    Raises:
        InvalidValue: two folders are the same split.
    """
    folders: dict[int, Path] = {}
    for folder in list_subfolders(root):
        part = parts.get(folder.name)
        if part is None or not list_subfolders(folder):
            log.warning("%s is ignored: not %s with one folder per class", folder, " or ".join(parts))
        elif part in folders:
            raise InvalidValue("root", root, f"one folder per split, not {folders[part].name} and {folder.name}")
        else:
            folders[part] = folder
    return folders


def check_not_nested(root: Path) -> None:
    """Check that the classes are not one folder deeper, as after unpacking an archive.

    Raises:
        InvalidValue: they are.
    """
    folders = list_subfolders(root)
    if len(folders) == 1 and len(inner := list_subfolders(folders[0])) > 1:
        names = ", ".join(folder.name for folder in inner[:5])
        legal = f"one folder per class; its only one contains {names}. Did you mean {folders[0]}?"
        raise InvalidValue("root", root, legal)


@dataclass(frozen=True, kw_only=True)
class ImageFolder(FileSource):
    """`root/<class>/…` or `root/{train,val,test}/<class>/…`; missing splits are taken from train."""

    root: str

    def list_files(self) -> FileList:
        root = Path(self.root).expanduser()
        return FileList(root, find_folder_images(root), "root")
