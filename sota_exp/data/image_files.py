"""Data sets of image files, shared by all sources that list such files: folders, a CSV file, ImageNet's layout."""

import hashlib
import itertools
import json
import logging
import unicodedata
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sota_exp.config.data_paths import LEGAL_ORDER
from sota_exp.config.printable import make_printable
from sota_exp.config.values import quote_first
from sota_exp.data.class_order import order_classes
from sota_exp.data.decode import (
    DECODE_ERRORS,
    DECODING,
    decode_file,
    decode_image,
    decode_upright,
    find_depth_remarks,
    read_peak,
)
from sota_exp.data.deep_pixels import find_set_white
from sota_exp.data.listing import ROWS_AT_ONCE, ImageFile, Listing, Names, iterate_rows
from sota_exp.data.members import Member
from sota_exp.data.open_image import explain_error
from sota_exp.data.read_files import map_in_threads, read_all
from sota_exp.data.resize import compute_resized_shape, interpolate
from sota_exp.data.shared_listing import LARGE
from sota_exp.data.store import open_data_set, use_given_splits
from sota_exp.data.store_writer import (
    TRAIN,
    Sample,
    StoreContents,
    hash_file,
    hash_pixels,
    shorten_digest,
)
from sota_exp.data.streaming import (
    NUM_SAMPLED,
    NUM_SAMPLED_OF_BLOCKS,
    estimate_decoded_bytes,
    open_streamed_data_set,
)
from sota_exp.errors import RunFailed
from sota_exp.stages.data import DataSet, DataSource, Holdout
from sota_exp.stages.stage import InvalidValue, Legal, NonNegative, Pixels, added_field, one_of

log = logging.getLogger(__name__)


def check_classes(found: Listing, name: str, value: object) -> None:
    """Check that train has at least two classes, and the other splits no others; name, value: the field, for the error.

    Raises:
        InvalidValue: they do not.
    """
    known = found.find_classes(TRAIN)
    if len(known) < 2:
        only = f"only {quote_first(known)}" if known else "none"
        raise InvalidValue(name, value, f"at least two classes with training images; {only} was found")
    if unknown := found.find_classes() - known:
        raise InvalidValue(name, value, f"classes that occur in train, which has no {quote_first(sorted(unknown))}")


def check_splits(data: DataSet, name: str, value: object) -> DataSet:
    """Return the data set if no split is empty; name, value: the field, for the error.

    Raises:
        InvalidValue: a split is empty.
    """
    if min(len(data.train), len(data.val), len(data.test)) == 0:
        most = int(data.labels.bincount().max())
        found = f"{len(data.labels)} were found, " + ("one" if most == 1 else f"at most {most}") + " of each class"
        legal = f"enough images to train, validate and test; {found}, of which one stays in train"
        raise InvalidValue(name, value, legal)
    return data


def hash_listing(found: Listing, classes: list[str], max_side: int | None, white: int | None = None) -> str:
    """A hash of what is decoded (paths relative to the root, sizes, modification times, classes, splits) and how.

    classes: as they are shown, in order. A file that cannot be reached is reported when it is decoded.
    """
    head, tail = json.dumps([DECODING, max_side, white, [], classes]).split("[]", 1)
    content = hashlib.blake2b(f"{head}[".encode(), digest_size=12)
    rows = iterate_rows(found)
    comma = ""
    while some := list(itertools.islice(rows, ROWS_AT_ONCE)):
        content.update(f"{comma}{json.dumps(some)[1:-1]}".encode())
        comma = ", "
    content.update(f"]{tail}".encode())
    return content.hexdigest()


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


def read_stored(path: Path | Member, white: int | None, max_side: int | None) -> np.ndarray:
    """The pixels of an image file as in a store, uint8 [H, W, 3], with its shorter side at most `max_side` pixels."""
    return to_stored_pixels(decode_image(path, white=white), max_side)


def count_stored(sample: Sample) -> int:
    """The bytes of an image in the store."""
    return sample.image.nbytes


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
            pixels, remarks = decode_upright(image)
            digest = hash_pixels(pixels.permute(1, 2, 0).numpy())
            return Sample(to_stored_pixels(pixels, max_side), int(label), split, digest, remarks)
        except (*DECODE_ERRORS, AttributeError) as error:
            raise RunFailed(f"{name}: image {index} {place} can't be read: {explain_error(error)}") from error

    return read_all(decode, range(num), count_stored)


def decode_samples(
    found: Sequence[ImageFile], classes: list[str], max_side: int | None, white: int | None = None
) -> Iterator[Sample]:
    """The decoded images. white: of 16-bit values whose header does not say it; None: by the values of all of them.

    Raises:
        RunFailed: files cannot be decoded; see `read_all`.
    """
    labels = {name: label for label, name in enumerate(classes)}
    each = range(len(found))
    peaks = [None] * len(found) if white else list(map_in_threads(lambda index: read_peak(found[index].path), each))
    used = white or find_set_white(peaks)

    def decode(index: int) -> Sample:
        image, remarks = found[index], find_depth_remarks(peaks[index], used)
        decoded, digest = decode_file(image.path, white=used), shorten_digest(hash_file(image.path))
        pixels = to_stored_pixels(decoded.pixels, max_side)
        return Sample(pixels, labels[image.class_name], image.split, digest, (*remarks, *decoded.remarks))

    return read_all(decode, each, count_stored)


class FileList(NamedTuple):
    """The image files below `root` in order; `field` of the source led there; names: class in the files → to show.

    groups: of every file, int64 [N]; None: each is a group of its own.
    """

    root: Path | str
    found: Listing
    field: str
    names: Callable[[str], str] = str
    groups: np.ndarray | None = None


def unite_spellings(files: FileList) -> FileList:
    """Take class names that look alike, but are composed differently in Unicode, as one class, and say so.

    macOS decomposes the names of files: é becomes e and an accent.
    """
    spelt: dict[str, list[str]] = {}
    for name in sorted(files.found.find_classes()):
        spelt.setdefault(unicodedata.normalize("NFC", name), []).append(name)
    warn_of_equal_letters(files.root, list(spelt))
    twice = {composed: names for composed, names in spelt.items() if len(names) > 1}
    if not twice:
        return files
    log.warning(
        "%s: %s %s spelt in several Unicode forms, as macOS and other systems write accents; each is one class",
        files.root,
        quote_first(twice),
        "is" if len(twice) == 1 else "are",
    )
    united = {name: composed for composed, names in twice.items() for name in names}
    return files._replace(found=files.found.rename_classes(united))


def warn_of_equal_letters(root: Path | str, classes: list[str]) -> None:
    """Say which classes have names that differ in capitals alone: they stay two classes."""
    alike: dict[str, list[str]] = {}
    for name in classes:
        alike.setdefault(name.casefold(), []).append(name)
    if found := [name for names in alike.values() if len(names) > 1 for name in names]:
        log.warning("%s: %s are classes whose names differ in capitals alone", root, quote_first(found))


@dataclass(frozen=True, kw_only=True)
class FileSource(DataSource):
    """A data set of image files, decoded once into a store, or streamed where that would exceed `store_gigabytes` GB.

    max_side: pixels; images in a store are reduced until their shorter side is at most this. Streamed images are not.
    class_order: of the network's outputs, see `order_classes`.
    white: the value of white of 16-bit files whose header does not say it, 255 to 65535; None: 2^b − 1 with the fewest
    bits b that all of them need.
    digest: of a streamed set, by which it is known: of all contents (full), or of all names and sizes and a sample of
    contents (sampled, and auto from `LARGE` images on).
    """

    max_side: Pixels | None
    store_gigabytes: NonNegative | None
    class_order: Annotated[Any, Legal(lambda value: isinstance(value, str | list), LEGAL_ORDER)] = added_field(
        "lexical"
    )
    white: Annotated[int, Legal(lambda value: 255 <= value <= 65535, "a value of white from 255 to 65535")] | None = (
        added_field(None)
    )
    digest: Annotated[str, one_of("auto", "sampled", "full")] = added_field("auto")

    @abstractmethod
    def list_files(self) -> FileList:
        """The image files, or an `InvalidValue` that names the field."""

    def __call__(self) -> DataSet:
        files = unite_spellings(self.list_files())
        value = vars(self)[files.field]
        check_classes(files.found, files.field, value)
        return check_splits(open_file_data_set(self, files), files.field, value)

    def open_for_scoring(self) -> DataSet:
        files = unite_spellings(self.list_files())
        # With fractions, a set of train alone opens whatever its own are; nothing of what is split off remains.
        data = open_file_data_set(replace(self, split=Holdout(), val_fraction=0.1, test_fraction=0.1), files)
        return use_given_splits(data, files.found.rows["split"])


def open_file_data_set(source: FileSource, files: FileList) -> DataSet:
    """The data set of image files, its classes in the order of `source`, its images named by their paths.

    Raises:
        InvalidValue: two classes have names that would be shown alike.
    """
    root, found, field, names, groups = files
    max_side, store_gigabytes, white = source.max_side, source.store_gigabytes, source.white
    classes = order_classes(found.find_classes(), source.class_order)
    shown = {name: make_printable(names(name)) for name in classes}
    if len(set(shown.values())) < len(classes):
        raise InvalidValue(field, vars(source)[field], "classes whose names differ in more than control characters")
    image_names = Names(found)
    key = f"files-{hash_listing(found, list(shown.values()), max_side, white)}"
    num = NUM_SAMPLED if found.blocks is None else NUM_SAMPLED_OF_BLOCKS
    if store_gigabytes is not None and (size := estimate_decoded_bytes(found, max_side, num) / 1e9) > store_gigabytes:
        log.warning(
            "%s is streamed: decoded it would take %.3g GB, more than data.store_gigabytes=%g. Its images are decoded "
            "for every crop (runtime.workers=N does it in the background), at full size: data.max_side is ignored",
            root,
            size,
            store_gigabytes,
        )
        is_sampled = source.digest == "sampled" or (source.digest == "auto" and len(found) >= LARGE)
        stored = partial(read_stored, max_side=max_side)
        data = open_streamed_data_set(source, white, found, classes, key, shown.__getitem__, stored, is_sampled, groups)
    else:

        def build() -> StoreContents:
            return StoreContents(list(shown.values()), decode_samples(found, classes, max_side, white))

        data = open_data_set(source, key, build, image_names.__getitem__, groups)
    return replace(data, names=image_names)
