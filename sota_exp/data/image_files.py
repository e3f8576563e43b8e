"""Data sets of image files, shared by all sources that list such files: folders, a CSV file, ImageNet's layout."""

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

from sota_exp.data.decode import DECODING, Found, decode, streamed
from sota_exp.data.resize import interpolate, shorter_side
from sota_exp.data.store import data_set, open_or_build
from sota_exp.data.store_writer import TEST, TRAIN, VAL, Contents, Sample, UnreadableImage
from sota_exp.data.streaming import decoded_bytes, streamed_set
from sota_exp.errors import RunFailed
from sota_exp.stages.data import DataSet, Source
from sota_exp.stages.stage import InvalidValue, require

#: Usual names of the splits.
PARTS = {"train": TRAIN, "val": VAL, "valid": VAL, "validation": VAL, "test": TEST}

log = logging.getLogger(__name__)


def require_max_side(max_side: int | None) -> None:
    """Raise `InvalidValue` unless `max_side` is at least 8 pixels, or None."""
    require(max_side is None or max_side >= 8, "max_side", max_side, "pixels, at least 8, or null")


def check_classes(found: list[Found], name: str, value: object) -> None:
    """Check that train has at least two classes, and the other splits no others; name, value: the field, for the error.

    Raises:
        InvalidValue: they do not.
    """
    known = {image.class_name for image in found if image.split == TRAIN}
    if len(known) < 2:
        only = f"only {', '.join(known)}" if known else "none"
        raise InvalidValue(name, value, f"at least two classes with training images; {only} was found")
    if unknown := {image.class_name for image in found} - known:
        raise InvalidValue(name, value, f"classes that occur in train, which has no {', '.join(sorted(unknown))}")


def check_parts(data: DataSet, name: str, value: object) -> DataSet:
    """Return the data set if no split is empty; name, value: the field, for the error.

    Raises:
        InvalidValue: a split is empty.
    """
    if min(len(data.train), len(data.val), len(data.test)) == 0:
        legal = f"enough images to train, validate and test; {len(data.labels)} were found"
        raise InvalidValue(name, value, legal)
    return data


#: Modification time (ns) and size (bytes) of files: int64 [N, 2].
States = np.ndarray


def states_of(paths: Iterable[str | bytes | Path]) -> States:
    """Modification times (ns) and sizes (bytes) of files or folders: int64 [N, 2]."""
    states = [(state.st_mtime_ns, state.st_size) for state in map(os.stat, paths)]
    return np.array(states, dtype=np.int64).reshape(-1, 2)


def listing_key(root: Path, found: list[Found], states: States, max_side: int | None) -> str:
    """A hash of what is decoded (paths relative to `root`, sizes, modification times, classes, splits) and how."""
    rows = [
        (os.path.relpath(image.path, root), size, changed, image.class_name, image.split)
        for image, (changed, size) in sorted(zip(found, states.tolist(), strict=True))
    ]
    text = json.dumps([DECODING, max_side, rows])
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def shrunk(image: Tensor, max_side: int | None) -> Tensor:
    """Reduce uint8 [3, H, W], antialiased, until its shorter side is at most `max_side` pixels."""
    height, width = image.shape[1:]
    if max_side is None or min(height, width) <= max_side:
        return image
    batch = image.unsqueeze(0).contiguous(memory_format=torch.channels_last)
    return interpolate(batch, *shorter_side(height, width, max_side)).squeeze(0)


def stored(image: Tensor, max_side: int | None) -> np.ndarray:
    """Uint8 [3, H, W] → uint8 [H, W, 3] as in a store, with its shorter side at most `max_side` pixels."""
    return shrunk(image, max_side).permute(1, 2, 0).numpy()


def _decode_sample(image: Found, labels: dict[str, int], max_side: int | None) -> Sample | UnreadableImage:
    try:
        return Sample(stored(decode(image.path), max_side), labels[image.class_name], image.split)
    except UnreadableImage as error:
        return error


def samples(found: list[Found], classes: list[str], max_side: int | None) -> Iterator[Sample]:
    """The decoded images. Every unreadable one is logged; an error at the end gives their number.

    Raises:
        RunFailed: a file cannot be decoded.
    """
    labels = {name: label for label, name in enumerate(classes)}
    unreadable: list[UnreadableImage] = []
    for result in streamed(partial(_decode_sample, labels=labels, max_side=max_side), found):
        if isinstance(result, Sample):
            yield result
        else:
            log.warning("%s", result)
            unreadable.append(result)
    if len(unreadable) > 1:
        raise RunFailed(f"{unreadable[0]}; nor can {len(unreadable) - 1} more, named above: fix or remove them")
    if unreadable:
        raise unreadable[0]


@dataclass(frozen=True, kw_only=True)
class FileSource(Source):
    """A data set of image files, decoded once into a store, or streamed where that would exceed `store_gigabytes` GB.

    max_side: pixels; images in a store are reduced until their shorter side is at most this. Streamed images are not.
    """

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
    """The data set of image files below `root`, its classes sorted by name.

    names: class name in the files → name to show.
    """
    max_side, store_gigabytes = source.max_side, source.store_gigabytes
    classes = sorted({image.class_name for image in found})
    key = f"files-{listing_key(root, found, states, max_side)}"
    if store_gigabytes is not None and (size := decoded_bytes(found, max_side) / 1e9) > store_gigabytes:
        log.warning(
            "%s is streamed: decoded it would take %.3g GB, more than data.store_gigabytes=%g. Its images are decoded "
            "for every crop (runtime.workers=N does it in the background), at full size: data.max_side is ignored",
            root,
            size,
            store_gigabytes,
        )
        return streamed_set(source, found, classes, key, names)

    def build() -> Contents:
        return Contents([names(name) for name in classes], samples(found, classes, max_side))

    return data_set(open_or_build(source.cache, key, build), source)
