"""Image files decoded into a store, whatever says which class each of them shows: its folder, a table, a published layout."""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sota_exp.data.decode import Found, decode, streamed
from sota_exp.data.resize import interpolate, shorter_side
from sota_exp.data.store import data_set, open_or_build
from sota_exp.data.store_writer import TEST, TRAIN, VAL, Contents, Sample, UnreadableImage
from sota_exp.errors import RunFailed
from sota_exp.stages.data import DataSet, Source
from sota_exp.stages.stage import InvalidValue, require

#: What people call the parts of a set.
PARTS = {"train": TRAIN, "val": VAL, "valid": VAL, "validation": VAL, "test": TEST}

# Raise it when the same files come to be decoded into other pixels.
DECODING = 1


log = logging.getLogger(__name__)


def require_max_side(max_side: int | None) -> None:
    """Raise `InvalidValue` for a `max_side` that `shrunk` can't use."""
    require(max_side is None or max_side >= 8, "max_side", max_side, "pixels, at least 8, or null")


def check_classes(found: list[Found], name: str, value: object) -> None:
    """Raise `InvalidValue` of the field `name` unless training images show two classes or more, and the other parts no
    class besides."""
    known = {image.class_name for image in found if image.split == TRAIN}
    if len(known) < 2:
        only = f"only {', '.join(known)}" if known else "none"
        raise InvalidValue(name, value, f"at least two classes with training images; {only} was found")
    if strange := {image.class_name for image in found} - known:
        raise InvalidValue(name, value, f"classes that train knows too; it lacks {', '.join(sorted(strange))}")


def check_parts(data: DataSet, name: str, value: object) -> DataSet:
    """The set itself. Raises `InvalidValue` of the field `name` where a part is empty."""
    if min(len(data.train), len(data.val), len(data.test)) == 0:
        legal = f"enough images to train, validate and test; {len(data.labels)} were found"
        raise InvalidValue(name, value, legal)
    return data


#: Time of the last change (ns) and size (bytes) of files, int64 [N, 2].
States = np.ndarray


def states_of(paths: Iterable[str | bytes | Path]) -> States:
    """Of files or folders. Raises `OSError` for a missing one."""
    states = [(state.st_mtime_ns, state.st_size) for state in map(os.stat, paths)]
    return np.array(states, dtype=np.int64).reshape(-1, 2)


def listing_key(root: Path, found: list[Found], states: States, max_side: int | None) -> str:
    """A hash of what would be decoded: paths from `root`, sizes, times of change, classes and parts, and how."""
    rows = [
        (os.path.relpath(image.path, root), size, changed, image.class_name, image.split)
        for image, (changed, size) in sorted(zip(found, states.tolist(), strict=True))
    ]
    text = json.dumps([DECODING, max_side, rows])
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def shrunk(image: Tensor, max_side: int | None) -> Tensor:
    """Uint8 [3, H, W] with its shorter side at most `max_side` pixels, antialiased."""
    height, width = image.shape[1:]
    if max_side is None or min(height, width) <= max_side:
        return image
    batch = image.unsqueeze(0).contiguous(memory_format=torch.channels_last)
    return interpolate(batch, *shorter_side(height, width, max_side)).squeeze(0)


def stored(image: Tensor, max_side: int | None) -> np.ndarray:
    """Uint8 [3, H, W] as a store takes it: uint8 [H, W, 3], reduced to `max_side`."""
    return shrunk(image, max_side).permute(1, 2, 0).numpy()


def sample(image: Found, labels: dict[str, int], max_side: int | None) -> Sample | UnreadableImage:
    """The decoded image, or why it can't be."""
    try:
        return Sample(stored(decode(image.path), max_side), labels[image.class_name], image.split)
    except UnreadableImage as error:
        return error


def samples(found: list[Found], classes: list[str], max_side: int | None) -> Iterator[Sample]:
    """The images, decoded. Unreadable ones are named as they are met; the failure at the end counts them all.

    Raises:
        RunFailed: a file can't be read as an image.
    """
    labels = {name: label for label, name in enumerate(classes)}
    unreadable: list[UnreadableImage] = []
    for made in streamed(partial(sample, labels=labels, max_side=max_side), found):
        if isinstance(made, Sample):
            yield made
        else:
            log.warning("%s", made)
            unreadable.append(made)
    if len(unreadable) > 1:
        raise RunFailed(f"{unreadable[0]}; nor can {len(unreadable) - 1} more, named above: mend or remove them")
    if unreadable:
        raise unreadable[0]


@dataclass(frozen=True, kw_only=True)
class FileSource(Source):
    """A set of image files: decoded once with their shorter side at most `max_side`, or, above `store_gigabytes`, when they are cut."""

    max_side: int | None
    store_gigabytes: float | None

    def __post_init__(self) -> None:
        super().__post_init__()
        require_max_side(self.max_side)
        ok = self.store_gigabytes is None or self.store_gigabytes >= 0
        require(ok, "store_gigabytes", self.store_gigabytes, "a number of at least 0, or null for no limit")


def data_set_of_files(
    source: FileSource, root: Path, found: list[Found], states: States, names: Callable[[str], str] = str
) -> DataSet:
    """The set of image files below `root`.

    Classes come in the order of their names. names: what a class is called, from the name its files carry.
    """
    from sota_exp.data.streaming import decoded_bytes, streamed_set

    max_side, store_gigabytes = source.max_side, source.store_gigabytes
    classes = sorted({image.class_name for image in found})
    key = f"files-{listing_key(root, found, states, max_side)}"
    if store_gigabytes is not None and (size := decoded_bytes(found, max_side) / 1e9) > store_gigabytes:
        log.warning(
            "%s streams: decoded it would take %.3g GB, more than data.store_gigabytes=%g. Its images are decoded "
            "whenever they are cut (runtime.workers=N does it in the background), at full size whatever data.max_side says",
            root,
            size,
            store_gigabytes,
        )
        return streamed_set(source, found, classes, key, names)

    def build() -> Contents:
        return Contents([names(name) for name in classes], samples(found, classes, max_side))

    return data_set(open_or_build(source.cache, key, build), source)
