"""Paths of data in a configuration: made absolute, and checked before anything slow is imported."""

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sota_exp.config.printable import make_printable
from sota_exp.config.values import flatten, format_given_value, format_override_value, shorten_middle
from sota_exp.errors import ConfigError

#: Keys whose relative paths are made absolute in the configuration of a run, so that it can be read from anywhere.
DATA_PATHS = (("data", "root"), ("data", "path"))

#: Keys of paths that may also be something else, such as `runs:/ID`; made absolute where the file exists.
FILE_PATHS = (
    ("data", "class_order"),
    ("model", "weights", "path"),
    ("regularization", "distillation", "path"),
    ("supervision", "labelled_file"),
)

#: Keys of names with `*` and `{000..146}`, which Hydra would read as something else.
PATTERNS = (("data", "train"), ("data", "val"), ("data", "test"))

#: Longest path in a message, in characters.
LONGEST_PATH = 600

#: Values of these keys that are no paths.
NOT_PATHS = ("", "???", "lexical", "natural")

IMAGENET_LAYOUT = (
    "a folder with train/ and val/, and in each one folder of images per class, such as n01440764. ImageNet cannot be "
    "downloaded automatically: get ILSVRC2012_img_train.tar, ILSVRC2012_img_val.tar and ILSVRC2012_devkit_t12.tar.gz "
    "from image-net.org, put them there, unpack them with torchvision.datasets.ImageNet(DIR, 'train') and (DIR, 'val')"
)

#: Option of `data` → its keys with a path that must exist: what is legal there.
REQUIRED = {
    "image_folder": {"root": "a folder with one folder of images per class, or with train, val and test of such"},
    "imagenet": {"root": IMAGENET_LAYOUT},
    "webdataset": {"root": "a folder with tar archives, or an address such as https://…"},
    "parquet": {"root": "a folder with parquet files, or an address such as hf://datasets/NAME"},
    "csv": {
        "root": "the folder that the paths of the CSV file are relative to, and do not leave",
        "path": "a CSV file",
    },
}

#: Options of `data` without a name of their own → the key of the place where they are.
PLACES = {"image_folder": "root", "webdataset": "root", "parquet": "root", "csv": "path", "huggingface": "dataset"}

#: What `data.class_order` may be.
LEGAL_ORDER = "lexical (1, 10, 2), natural (1, 2, 10), a text file with one class name per line, or a list of names"

#: Keys of `FILE_PATHS`, dotted → what is legal there.
LEGAL_FILES = {
    "data.class_order": LEGAL_ORDER,
    "model.weights.path": "a file of weights, or runs:/RUN_ID",
    "regularization.distillation.path": "a file of weights",
    "supervision.labelled_file": "a text file with indices of training images, one per line",
}


def name_data(data: Mapping[str, Any]) -> str:
    """The data for a title: its name, or where that is the kind of source alone, the last part of its place."""
    name, option = str(data.get("name") or data.get("_option_", "")), str(data.get("_option_", ""))
    place = str(data.get(PLACES.get(option, "")) or "").rstrip("/")
    return make_printable(place.rpartition("/")[2]) if place and name == option else name


def expand_home(*parts: str | Path) -> Path:
    """The path with a leading `~` replaced; `~name` stays a name where there is no such user."""
    return Path(os.path.expanduser(Path(*parts)))


def is_address(path: str | Path) -> bool:
    """Whether a path is an address, such as https://host/images: no file of this machine."""
    return "://" in str(path)


def make_paths_absolute(values: dict[str, Any]) -> None:
    """Replace relative paths of data and weights in the values of a run by absolute ones, in place."""
    for keys in (*DATA_PATHS, *FILE_PATHS):
        node: Any = values
        for key in keys[:-1]:
            node = node.get(key) if isinstance(node, dict) else None
        path = node.get(keys[-1]) if isinstance(node, dict) else None
        if (
            isinstance(path, str)
            and path not in NOT_PATHS
            and not is_address(path)
            and (keys in DATA_PATHS or os.path.exists(os.path.expanduser(path)))
        ):
            node[keys[-1]] = os.path.abspath(os.path.expanduser(path))


def check_data_paths(values: Mapping[str, Any], trains: bool = True) -> None:
    """Check that the folder or file of the data set, and the files of weights and labels, are there.

    trains: whether the run is trained; else only its data is read.

    Raises:
        ConfigError: one does not exist, is of the other kind, is empty or is a dangling link.
    """
    data = values.get("data")
    data = data if isinstance(data, Mapping) else {}
    if data.get("_option_") == "huggingface" and data.get("dataset") == "":
        raise ConfigError("data.dataset= is empty; give the name of a data set of the hub, or a folder: data.dataset=…")
    for key, legal in REQUIRED.get(str(data.get("_option_")), {}).items():
        require_path(f"data.{key}", data.get(key), legal, is_folder=key == "root")
    if isinstance(cache := data.get("cache"), str):
        require_possible_folder("data.cache", cache)
    given = flatten(values)
    for key, legal in LEGAL_FILES.items():
        path = given.get(key)
        if not trains and not key.startswith("data."):
            continue
        if path != "" and path not in NOT_PATHS and not str(path).startswith("runs:/"):
            require_path(key, path, legal, is_folder=False)


def require_path(key: str, path: object, legal: str, is_folder: bool) -> None:
    """Check that a path, where it is a text, is a folder with something in it, or a file with something in it.

    legal: what is legal there, for the message.

    Raises:
        ConfigError: it is not; the message says what is wrong and has the absolute path.
    """
    if not isinstance(path, str) or is_address(path):
        return
    if problem := find_path_problem(expand_home(path), is_folder):
        shown = os.path.relpath(path) if Path(path).is_relative_to(Path.cwd()) else path
        raise ConfigError(f"{key}={format_given_value(shown)} is not legal: {problem}; give {legal}: {key}=…")


def require_possible_folder(key: str, path: str) -> None:
    """Check that a path is a folder, or that one can be made there.

    Raises:
        ConfigError: it, or a part of it, is a file.
    """
    place = expand_home(path).absolute()
    above = next(each for each in (place, *place.parents) if os.path.lexists(each))
    if not above.is_dir():
        problem = find_path_problem(above, is_folder=True)
        shown = format_given_value(path)
        raise ConfigError(f"{key}={shown} is not legal: {problem}; give a folder, which may be new: {key}=…")


def is_folder(path: str | Path) -> bool:
    """Whether there is such a folder; no error, unlike `Path.is_dir`, for a name of more than 255 bytes."""
    return os.path.isdir(path)


def describe_no_folder(path: str | Path) -> str:
    """What is wrong with a path that is no folder, in words: it is a file, or there is none."""
    return "a file, not a folder" if os.path.lexists(path) else "no such directory"


def find_path_problem(path: Path, is_folder: bool) -> str:
    """What is wrong with a path that should be a folder with something in it, or a file; "" if nothing is.

    One printable line of bearable length, whatever the path.
    """
    try:
        found = _find_path_problem(path.absolute(), is_folder)
    except OSError as error:  # such as a name of more than 255 bytes
        found = f"{shorten_middle(str(path.absolute()), LONGEST_PATH)}: {error.strerror}"
    return shorten_middle(make_printable(found), LONGEST_PATH)


def _find_path_problem(path: Path, is_folder: bool) -> str:
    if path.is_symlink() and not path.exists():
        return f"{path} is a link to {os.readlink(path)}, which does not exist"
    if not path.exists():
        return f"{path} does not exist{_describe_nearest(path)}"
    if is_folder and not path.is_dir():
        return f"{path} is a file, not a folder"
    if not is_folder and not path.is_file():
        return f"{path} is {'a folder, ' if path.is_dir() else ''}not a file"
    if not os.access(path, os.R_OK | (os.X_OK if is_folder else 0)):
        return f"{path} is not readable for you"
    if not is_folder:
        return "" if path.stat().st_size else f"{path} is an empty file"
    return "" if any(path.iterdir()) else f"{path} is an empty folder"


def _describe_nearest(path: Path) -> str:
    """The first folder of the path that is not there, and a similar name in its place: ` (did you mean photos?)`."""
    above = next(parent for parent in path.parents if parent.is_dir())
    name = path.relative_to(above).parts[0]
    if os.path.lexists(above / name):
        return f": {_find_path_problem(above / name, is_folder=True)}"
    try:
        near = difflib.get_close_matches(name, [entry.name for entry in above.iterdir()], n=1)
    except OSError:
        near = []
    missing = f": there is no {above / name}" if above != path.parent else ""
    return missing + "".join(f" (did you mean {above / each}?)" for each in near)


def quote_paths(arguments: list[str]) -> list[str]:
    """The arguments of a command, with quotes for Hydra around a path that exists, or that Hydra cannot read.

    A folder may be called `photos, old (2)` or `[new]`, which Hydra would read as several values, a call or a list.
    """
    keys = {f"{'.'.join(key)}=" for key in (*DATA_PATHS, *FILE_PATHS, *PATTERNS)}
    found = []
    for word in arguments:
        key, sign, path = word.partition("=")
        is_path = f"{key}{sign}" in keys and path not in NOT_PATHS
        is_literal = is_path and (os.path.lexists(os.path.expanduser(path)) or not _is_readable(word))
        found.append(f"{key}={format_override_value(path)}" if is_literal else word)
    return found


def _is_readable(override: str) -> bool:
    """Whether an override has Hydra's grammar."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        OverridesParser.create().parse_override(override)
    except HydraException:
        return False
    return True
