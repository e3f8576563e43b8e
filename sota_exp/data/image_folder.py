"""A folder of images, one sub-folder a class, with or without folders for train, val and test."""

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sota_exp.data.decode import Found
from sota_exp.data.image_files import PARTS, FileSource, States, check_classes, check_parts, data_set_of_files
from sota_exp.data.process_cache import remembered
from sota_exp.data.store_writer import TRAIN
from sota_exp.stages.data import DataSet
from sota_exp.stages.stage import InvalidValue

EXTENSIONS = frozenset([".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"])

log = logging.getLogger(__name__)


def is_image(name: str) -> bool:
    """Whether a file name is that of an image, and not hidden (macOS leaves `._photo.jpg` beside `photo.jpg`)."""
    return not name.startswith(".") and Path(name).suffix.lower() in EXTENSIONS


def subfolders(folder: Path) -> list[Path]:
    """The visible folders in a folder, by name."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def visible_below(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """The folder and the visible ones below it, each with the names of its files."""
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]  # such as .ipynb_checkpoints
        yield Path(parent), names


def images_below(folder: Path) -> list[Path]:
    """The image files in a folder and in the visible folders below it, by path."""
    return sorted(parent / name for parent, names in visible_below(folder) for name in names if is_image(name))


def folders_below(folder: Path) -> list[Path]:
    """The folder and the visible ones below it, which change where a name in them comes or goes."""
    return [parent for parent, _ in visible_below(folder)]


def is_divided(root: Path) -> bool:
    """Whether `root` has parts: a `train` that holds folders and no image. With images in it, it is a class of that name."""
    train = root / "train"
    if not train.is_dir():
        return False
    return bool(subfolders(train)) and not any(is_image(path.name) for path in train.iterdir())


def find_images(root: Path) -> list[Found]:
    """Every image under `root`, by part, class and path. Raises `InvalidValue` where there is no data set to see."""
    if not root.is_dir():
        raise InvalidValue("root", root, "a folder of images" if not root.exists() else "a folder, this is a file")
    found = images_of(part_folders(root, PARTS) if is_divided(root) else {TRAIN: root})
    if not found:
        legal = "a folder with a sub-folder of images for each class; no image was found in one"
        raise InvalidValue("root", root, legal)
    if not is_divided(root):
        check_wrapped(root)
    check_classes(found, "root", root)
    return found


def images_of(folders: dict[int, Path]) -> list[Found]:
    """Every image in the class folders of each part's folder, by part, class and path."""
    return [
        Found(path, folder.name, part)
        for part, place in sorted(folders.items())
        for folder in subfolders(place)
        for path in images_below(folder)
    ]


def part_folders(root: Path, parts: Mapping[str, int]) -> dict[int, Path]:
    """Which folder holds which part; says in the log which folders are left aside."""
    folders: dict[int, Path] = {}
    for folder in subfolders(root):
        part = parts.get(folder.name)
        if part is None or not subfolders(folder):
            log.warning("%s is left aside: not %s with a folder a class", folder, " or ".join(parts))
        elif part in folders:
            raise InvalidValue("root", root, f"one folder a part, not {folders[part].name} and {folder.name}")
        else:
            folders[part] = folder
    return folders


def check_wrapped(root: Path) -> None:
    """Raise `InvalidValue` where the only folder in `root` holds the classes: archives unpack so."""
    folders = subfolders(root)
    if len(folders) == 1 and len(inner := subfolders(folders[0])) > 1:
        names = ", ".join(folder.name for folder in inner[:5])
        raise InvalidValue("root", root, f"a folder a class; its only one holds {names}. Did you mean {folders[0]}?")


@dataclass(frozen=True, kw_only=True)
class ImageFolder(FileSource):
    """`root/<class>/…` or `root/{train,val,test}/<class>/…`; missing parts are cut from train."""

    root: str

    def __call__(self) -> DataSet:
        root = Path(self.root).expanduser()
        return remembered(self, lambda: folders_below(root), lambda: find_images(root), self._open)

    def _open(self, found: list[Found], states: States) -> DataSet:
        root = Path(self.root).expanduser()
        data = data_set_of_files(self, root, found, states)
        return check_parts(data, "root", root)
