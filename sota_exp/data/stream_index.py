"""What is known of image files that are decoded for every crop: sizes in pixels, hashes, how their pixels are read.

`read_whole` reads each file once. `read_sample`, for large sets, does not: an image is known by its name and number of
bytes, the contents of a sample are hashed, and the size in pixels is read from the header when it is needed, a few
hundredths of the time to decode. Times of files are in neither digest, so a copy of a data set is the same data set.
"""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock
from PIL.ImageFile import ImageFile as PictureFile

from sota_exp.config.data_paths import is_address
from sota_exp.data.decode import (
    DECODE_ERRORS,
    STREAM_DIGEST,
    describe_reading,
    find_depth_remarks,
    make_unreadable,
    read_white,
)
from sota_exp.data.deep_pixels import SIXTEEN_BITS, find_set_white
from sota_exp.data.listing import ImageFile, Listing
from sota_exp.data.members import Member
from sota_exp.data.open_image import open_image
from sota_exp.data.read_files import map_in_threads, read_all
from sota_exp.data.row_groups import get_file
from sota_exp.data.store_writer import hash_file, shorten_digest
from sota_exp.runs.atomic import write_recomputable, write_recomputable_text

log = logging.getLogger(__name__)

#: Number of images whose contents are hashed where only those of a sample are: those of the smallest digests of names.
NUM_HASHED = 1000

#: EXIF tag of the orientation, and its values that exchange height and width.
ORIENTATION, TURNED = 0x0112, (5, 6, 7, 8)

#: File name extensions of JPEGs.
JPEG_EXTENSIONS = (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo")


def is_jpeg(name: str) -> bool:
    """Whether a file is a JPEG by its name."""
    return name.lower().endswith(JPEG_EXTENSIONS)


def read_file_facts(path: Path | Member) -> tuple[int, int, str, tuple[str, ...], int | None]:
    """Height and width of the upright image in pixels, a hash of the file with how its pixels are read, remarks and
    `Reading.peak`.

    Raises:
        UnreadableImage: the header of the file cannot be read.
    """
    height, width, reading, remarks, peak = read_header(path)
    # With `reading`, since images with such a text were read as other pixels before.
    return height, width, hash_file(path) + reading, remarks, peak


def read_header(path: Path | Member) -> tuple[int, int, str, tuple[str, ...], int | None]:
    """As `read_file_facts`, with the reading alone instead of the hash.

    Raises:
        UnreadableImage: the header of the file cannot be read.
    """
    try:
        with open_image(path) as image:
            size = image.size
            reading, remarks, peak = describe_reading(image)  # first: reading the EXIF data of a PNG decodes it
            return *turn_upright(image, size), reading, remarks, peak
    except DECODE_ERRORS as error:
        raise make_unreadable(path, error) from error


def read_size(path: Path | Member) -> tuple[int, int]:
    """Height and width of the upright image in a file.

    Raises:
        UnreadableImage: the header of the file cannot be read.
    """
    try:
        with open_image(path) as image:
            return turn_upright(image, image.size)
    except DECODE_ERRORS as error:
        raise make_unreadable(path, error) from error


def turn_upright(image: PictureFile, size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of an image after its rotation; size: width and height as its header says."""
    # Pillow gives the size of a TIFF after its rotation.
    turned = image.format != "TIFF" and image.getexif().get(ORIENTATION) in TURNED
    return size if turned else size[::-1]


class StreamIndex(NamedTuple):
    """What is known of the files of a data set.

    sizes: int32 [N, 2], height and width in pixels, 0 where they must be read from the header. white: as for
    `decode_file`. remarks: remark → the positions of the files that it is true of. digests: of each image, int64 [N].
    content: of which the digest of the set is made, in JSON. sample: position → hash of the content, of the files of
    which that is known where it is not known of all, else None.
    """

    sizes: np.ndarray
    white: int | None
    remarks: dict[str, list[int]]
    digests: np.ndarray
    content: list[Any]
    sample: dict[int, str] | None = None


Row = tuple[int, int, str, tuple[str, ...], int | None]


def read_whole(found: Listing, path: Path, white: int | None) -> StreamIndex:
    """The index, for which each file is read once; cached in the file `path`. white: as the field of `FileSource`."""
    sizes, hashes, remarks = load_or_build_index(found, path, white)
    digests = np.array([shorten_digest(digest) for digest in hashes], dtype=np.int64)
    return StreamIndex(sizes.astype(np.int32), white or read_white(remarks), remarks, digests, [STREAM_DIGEST, hashes])


def read_sample(found: Listing, path: Path, white: int | None) -> StreamIndex:
    """The index, for which a sample of the files is read, and those that by their names are no JPEGs: these may be of
    16 bits, and their size may take decoding. Cached beside the file `path`. white: as the field of `FileSource`.
    """
    digests = load_or_build_name_digests(found, path.with_name(f"{path.stem}-names.npy"))
    hashed = np.sort(np.argsort(digests, kind="stable")[:NUM_HASHED]).tolist()
    is_hashed = set(hashed)
    places = [place for place, name in enumerate(found.names()) if place in is_hashed or not is_jpeg(name)]

    def read(place: int) -> Row:
        file = found.path(place)
        return read_file_facts(file) if place in is_hashed else read_header(file)

    rows = load_or_build_rows(path.with_name(f"{path.stem}-sample-{NUM_HASHED}.json"), read, places)
    hashes, remarks = interpret_rows(rows, white)
    sizes = np.zeros((len(found), 2), dtype=np.int32)
    sizes[places] = np.array([row[:2] for row in rows], dtype=np.int32).reshape(-1, 2)
    sample = {place: content for place, content in zip(places, hashes, strict=True) if place in is_hashed}
    named = {remark: [places[position] for position in those] for remark, those in remarks.items()}
    content = [STREAM_DIGEST, hashlib.blake2b(digests.tobytes(), digest_size=16).hexdigest(), hashes]
    return StreamIndex(sizes, white or read_white(remarks), named, digests, content, sample)


def load_or_build_name_digests(found: Listing, path: Path) -> np.ndarray:
    """A digest of 63 bits of the name and bytes of each file, int64 [N]; cached in the file `path`."""
    try:
        return np.load(path)
    except (OSError, ValueError, EOFError):
        files = zip(found.names(), found.rows["size"], strict=True)
        digests = np.fromiter((hash_name(name, int(size)) for name, size in files), np.int64, len(found))
    with suppress(OSError):  # A cache may be read-only.
        path.parent.mkdir(parents=True, exist_ok=True)
        write_recomputable(path, lambda file: np.save(file, digests))
    return digests


def hash_name(name: str, size: int) -> int:
    """A digest of 63 bits of the name of a file and its number of bytes."""
    content = hashlib.blake2b(f"{size} {name}".encode(errors="surrogateescape"), digest_size=8)
    return int.from_bytes(content.digest(), "big") >> 1


def load_or_build_index(
    found: Sequence[ImageFile], path: Path, white: int | None
) -> tuple[np.ndarray, list[str], dict[str, list[int]]]:
    """Height and width, int64 [N, 2], hashes of all files, and remark → the positions of the files it is true of.

    Cached in the file `path`. white: as the field of `FileSource`.
    """
    rows = load_or_build_rows(path, lambda place: read_file_facts(found[place].path), range(len(found)))
    sizes = np.array([row[:2] for row in rows], dtype=np.int64).reshape(-1, 2)
    return sizes, *interpret_rows(rows, white)


def load_or_build_rows(path: Path, read: Callable[[int], Row], places: Sequence[int]) -> list[Row]:
    """`read` of each of the places; cached in the file `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if not path.is_file():
            log.info("reading the sizes of %d images", len(places))
            write_recomputable_text(path, json.dumps(list(read_all(read, places))))
    rows: list[Row] = json.loads(path.read_text())
    return rows


def interpret_rows(rows: Sequence[Row], white: int | None) -> tuple[list[str], dict[str, list[int]]]:
    """Hashes of files with how their pixels are read, and remark → positions. white: as the field of `FileSource`."""
    positions: dict[str, list[int]] = {}
    used = white or find_set_white(row[4] for row in rows)
    is_reduced = used is not None and used < SIXTEEN_BITS
    for position, row in enumerate(rows):
        for remark in (*row[3], *find_depth_remarks(row[4] if white is None else None, used)):
            positions.setdefault(remark, []).append(position)
    return [f"{row[2]}-{used}" if row[4] is not None and is_reduced else row[2] for row in rows], positions


def find_changed(files: Listing, index: StreamIndex, picked: Sequence[int], since: float) -> list[int]:
    """Those of the positions `picked` whose files were written after `since` and have other contents now.

    since: in seconds since 1970. What is not known is told.
    """
    written = [place for place in picked if find_time_written(files.path(place)) > since]
    known = written if index.sample is None else [place for place in written if place in index.sample]
    if unknown := len(written) - len(known):
        log.warning(
            "%s: %d of %d images were written since this run began; their names and sizes are as before, and of %d "
            "the contents are compared, since data.digest keeps those of a sample alone (data.digest=full: of all)",
            files.root,
            unknown,
            len(picked),
            len(known),
        )

    def is_changed(place: int) -> bool:
        digest = shorten_digest(hash_file(files.path(place)))
        return digest != (int(index.digests[place]) if index.sample is None else shorten_digest(index.sample[place]))

    return [place for place, changed in zip(known, map_in_threads(is_changed, known), strict=True) if changed]


def find_time_written(path: Path | Member) -> float:
    """When a file, or the archive of a member, was written or its facts changed, in seconds since 1970; 0: unknown."""
    if isinstance(path, Member) and is_address(path.shard):
        return 0.0
    return os.stat(get_file(path.shard) if isinstance(path, Member) else path).st_ctime
