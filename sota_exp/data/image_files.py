"""Data sets of image files, shared by all sources that list such files: folders, a CSV file, ImageNet's layout."""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sota_exp.config.data_paths import find_path_problem
from sota_exp.config.printable import make_printable
from sota_exp.data.class_order import LEGAL_ORDER, order_classes
from sota_exp.data.decode import DECODE_ERRORS, DECODING, ImageFile, decode_image, map_in_threads, to_upright_pixels
from sota_exp.data.resize import compute_resized_shape, interpolate
from sota_exp.data.store import open_data_set
from sota_exp.data.store_writer import TRAIN, Sample, StoreContents, UnreadableImage
from sota_exp.data.streaming import estimate_decoded_bytes, open_streamed_data_set
from sota_exp.errors import RunFailed
from sota_exp.stages.data import DataSet, DataSource
from sota_exp.stages.stage import InvalidValue, Legal, NonNegative, Pixels, added_field

log = logging.getLogger(__name__)


def check_classes(found: list[ImageFile], name: str, value: object) -> None:
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


def check_splits(data: DataSet, name: str, value: object) -> DataSet:
    """Return the data set if no split is empty; name, value: the field, for the error.

    Raises:
        InvalidValue: a split is empty.
    """
    if min(len(data.train), len(data.val), len(data.test)) == 0:
        legal = f"enough images to train, validate and test; {len(data.labels)} were found"
        raise InvalidValue(name, value, legal)
    return data


def hash_listing(root: Path, found: list[ImageFile], classes: list[str], max_side: int | None) -> str:
    """A hash of what is decoded (paths relative to `root`, sizes, modification times, classes, splits) and how.

    classes: as they are shown, in order.

    Raises:
        UnreadableImage: a file is a link to nothing, or cannot be reached.
    """
    rows = []
    for path, class_name, split in sorted(found):
        try:
            state = path.stat()
        except OSError as error:
            raise UnreadableImage(path, find_path_problem(path, is_folder=False) or str(error)) from error
        rows.append((os.path.relpath(path, root), state.st_size, state.st_mtime_ns, class_name, split))
    text = json.dumps([DECODING, max_side, rows, classes])
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def shrink(image: Tensor, max_side: int | None) -> Tensor:
    """Reduce uint8 [3, H, W], antialiased, until its shorter side is at most `max_side` pixels."""
    height, width = image.shape[1:]
    if max_side is None or min(height, width) <= max_side:
        return image
    batch = image.unsqueeze(0).contiguous(memory_format=torch.channels_last)
    return interpolate(batch, *compute_resized_shape(height, width, max_side)).squeeze(0)


def to_stored_pixels(image: Tensor, max_side: int | None) -> np.ndarray:
    """Uint8 [3, H, W] → uint8 [H, W, 3] as in a store, with its shorter side at most `max_side` pixels."""
    return shrink(image, max_side).permute(1, 2, 0).numpy()


def decode_split(
    read: Callable[[int], tuple[Image.Image, int]], num: int, split: int, max_side: int | None, name: str, place: str
) -> Iterator[Sample]:
    """The `num` images of one split, decoded in threads. read: index → image, label. name, place: for the error.

    Raises:
        RunFailed: an image cannot be decoded.
    """

    def decode(index: int) -> Sample:
        try:
            image, label = read(index)
            return Sample(to_stored_pixels(to_upright_pixels(image), max_side), int(label), split)
        except (*DECODE_ERRORS, AttributeError) as error:
            raise RunFailed(f"{name}: image {index} {place} can't be read: {error}") from error

    return map_in_threads(decode, range(num))


def _decode_sample(image: ImageFile, labels: dict[str, int], max_side: int | None) -> Sample | UnreadableImage:
    try:
        return Sample(to_stored_pixels(decode_image(image.path), max_side), labels[image.class_name], image.split)
    except UnreadableImage as error:
        return error


def decode_samples(found: list[ImageFile], classes: list[str], max_side: int | None) -> Iterator[Sample]:
    """The decoded images. Every unreadable one is logged; an error at the end gives their number.

    Raises:
        RunFailed: a file cannot be decoded.
    """
    labels = {name: label for label, name in enumerate(classes)}
    unreadable: list[UnreadableImage] = []
    for result in map_in_threads(partial(_decode_sample, labels=labels, max_side=max_side), found):
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
class FileSource(DataSource):
    """A data set of image files, decoded once into a store, or streamed where that would exceed `store_gigabytes` GB.

    max_side: pixels; images in a store are reduced until their shorter side is at most this. Streamed images are not.
    class_order: of the network's outputs, see `order_classes`.
    """

    max_side: Pixels | None
    store_gigabytes: NonNegative | None
    class_order: Annotated[Any, Legal(lambda value: isinstance(value, str | list), LEGAL_ORDER)] = added_field(
        "lexical"
    )


def open_file_data_set(
    source: FileSource, root: Path, found: list[ImageFile], field: str, names: Callable[[str], str] = str
) -> DataSet:
    """The data set of image files below `root`, its classes in the order of the source.

    field: of `source`, for errors. names: class name in the files → name to show.
    """
    value = vars(source)[field]
    check_classes(found, field, value)
    max_side, store_gigabytes = source.max_side, source.store_gigabytes
    classes = order_classes({image.class_name for image in found}, source.class_order)
    shown = {name: make_printable(names(name)) for name in classes}
    if len(set(shown.values())) < len(classes):
        raise InvalidValue(field, value, "classes whose names differ in more than control characters")
    key = f"files-{hash_listing(root, found, list(shown.values()), max_side)}"
    if store_gigabytes is not None and (size := estimate_decoded_bytes(found, max_side) / 1e9) > store_gigabytes:
        log.warning(
            "%s is streamed: decoded it would take %.3g GB, more than data.store_gigabytes=%g. Its images are decoded "
            "for every crop (runtime.workers=N does it in the background), at full size: data.max_side is ignored",
            root,
            size,
            store_gigabytes,
        )
        return check_splits(open_streamed_data_set(source, found, classes, key, shown.__getitem__), field, value)

    def build() -> StoreContents:
        return StoreContents(list(shown.values()), decode_samples(found, classes, max_side))

    return check_splits(open_data_set(source, key, build), field, value)
