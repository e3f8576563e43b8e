"""Image files that are decoded for every crop: for data sets whose decoded images would take too much disk space.

What must be known of the files is read once, see `stream_index`. For a small crop, a JPEG is decoded at 1/2, 1/4 or 1/8
of its size, never below that of the crop: libjpeg then skips the high frequencies, which takes a fraction of the time.
"""

import copy
import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sota_exp.config.data_paths import expand_home
from sota_exp.data.decode import DECODE_ERRORS, WHITE_BY_KEY, choose_step, decode_image, describe_remark
from sota_exp.data.listing import ImageFile, Listing
from sota_exp.data.members import Member
from sota_exp.data.near_duplicates import CACHE_NAME, STORED_SIDE, keep_together
from sota_exp.data.normalization import NUM_IMAGES, choose_images, compute_statistics, sum_pixels
from sota_exp.data.open_image import open_image
from sota_exp.data.read_files import read_all
from sota_exp.data.row_groups import warn_of_sorted_rows
from sota_exp.data.store import assign_splits, warn_of_cut_groups
from sota_exp.data.stream_index import StreamIndex, find_changed, is_jpeg, read_sample, read_size, read_whole
from sota_exp.runs.atomic import write_recomputable_text
from sota_exp.stages.data import Blocks, DataSet, DataSource, Images, Preprocessing

log = logging.getLogger(__name__)

#: Number of images, evenly spaced, by whose headers the size of all is estimated; and where each is read with a block.
NUM_SAMPLED, NUM_SAMPLED_OF_BLOCKS = 1000, 50

#: Begins the digest of a set of which a sample of the contents is hashed.
SAMPLED = "sampled-"


class StreamedImages(Images):
    """Images by index, decoded at every access; at a reduced size where that suffices, which is cheaper."""

    def __init__(self, files: Listing, index: StreamIndex) -> None:
        # Of the index, an image needs its size and the white alone; the rest would be sent to every worker process.
        self.files, self.white, self._sizes = files, index.white, index.sizes
        self._find_changed: Callable[[list[int], float], list[int]] | None = partial(find_changed, files, index)
        self._decode: Callable[[Path | Member, int], Tensor] = partial(decode_image, white=index.white)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_find_changed": None}

    @property
    def blocks(self) -> Blocks | None:
        return self.files.blocks

    def __len__(self) -> int:
        return len(self.files)

    def size(self, index: int) -> tuple[int, int]:
        height, width = self._sizes[index].tolist()
        if height and width:
            return height, width
        self._sizes[index] = read_size(self.files.path(index))  # once in a process
        return self.size(index)

    def sizes(self, indices: Tensor) -> Tensor:
        return torch.tensor([self.size(index) for index in indices.tolist()]).view(-1, 2)

    def image(self, index: int) -> Tensor:
        return self.read_reduced(index, 1.0)

    def step_of(self, index: int, factor: float) -> int:
        """The factor 1, 2, 4 or 8 by which a JPEG (by its file name) is reduced; 1 for other formats."""
        return choose_step(factor) if is_jpeg(self.files.name(index)) else 1

    def read_reduced(self, index: int, factor: float) -> Tensor:
        """The whole image at 1/1, 1/2, 1/4 or 1/8 of its size, at least 1/`factor`, rounded up: uint8 [3, h, w]."""
        return self._decode(self.files.path(index), self.step_of(index, factor))

    def read_small(self, index: int) -> Tensor:
        """The whole image at the smallest size that a thumbnail for `keep_together` needs: uint8 [3, h, w]."""
        return self.read_reduced(index, min(self.size(index)) / STORED_SIDE)

    def find_changed(self, indices: Tensor, digests: Tensor, since: float) -> list[int]:
        assert self._find_changed is not None, "a worker process does not compare"
        return self._find_changed(indices.tolist(), since)

    def keep_decoded(self) -> "StreamedImages":
        """The same images, each decoded once and then kept in memory, for repeated reads of a few of them."""
        kept = copy.copy(self)
        kept._decode = cache(partial(decode_image, white=self.white))
        return kept


def estimate_decoded_bytes(found: Sequence[ImageFile], max_side: int | None, num: int = NUM_SAMPLED) -> int:
    """Estimated bytes of all decoded images, their shorter side at most `max_side`, from the headers of about `num`."""
    some = found[:: max(1, len(found) // num)]
    total = 0.0
    for image in some:
        try:
            with open_image(image.path) as opened:
                width, height = opened.size
        except DECODE_ERRORS:
            continue  # reported when the image is decoded
        total += 3 * width * height * min(1.0, (max_side or np.inf) / min(width, height)) ** 2
    return int(total * len(found) / max(1, len(some)))


def load_or_compute_statistics(
    chosen: Sequence[Path | Member], index_path: Path, read_stored: Callable[[Path | Member], np.ndarray]
) -> Preprocessing:
    """Mean and standard deviation of the images `chosen`, cached in a file beside the index.

    read_stored: file → pixels as in a store, uint8 [H, W, 3].
    """
    name = hashlib.blake2b("\n".join(map(str, chosen)).encode(), digest_size=8).hexdigest()
    file = index_path.with_name(f"{index_path.stem}-mean-std-{name}.json")
    if not file.is_file():
        log.info("computing mean and standard deviation from %d training images", len(chosen))
        sums, num_pixels = np.zeros((2, 3), dtype=np.int64), 0
        for image in read_all(read_stored, chosen):
            sums += sum_pixels(image)
            num_pixels += image.shape[0] * image.shape[1]
        statistics = compute_statistics(sums, num_pixels)
        write_recomputable_text(file, json.dumps([statistics.mean, statistics.std]))
    mean, std = json.loads(file.read_text())
    return Preprocessing(mean=tuple(mean), std=tuple(std))


def hash_array(values: np.ndarray) -> str:
    """A hash of whole numbers, [N]."""
    return hashlib.blake2b(values.astype("<i8").tobytes(), digest_size=16).hexdigest()


def open_streamed_data_set(
    source: DataSource,
    white: int | None,
    found: Listing,
    classes: Sequence[str],
    key: str,
    names: Callable[[str], str],
    read_stored: Callable[..., np.ndarray],
    is_sampled: bool,
    groups: np.ndarray | None = None,
) -> DataSet:
    """The data set of image files that are decoded for every crop.

    key: name of the index in the cache. names: class name in the files → name to show. read_stored: file, white →
    pixels as in a store, uint8 [H, W, 3], of which mean and standard deviation are computed. white: as in the source.
    is_sampled: whether the contents of a sample alone are hashed. groups: of every image, int64 [N].
    """
    index_path = expand_home(source.cache).absolute() / "streams" / f"{key}.json"
    index = (read_sample if is_sampled else read_whole)(found, index_path, white)
    for remark, those in index.remarks.items():
        if text := describe_remark(remark, len(those), len(found), found.name(those[0]), WHITE_BY_KEY):
            log.warning("%s", text)
    labels, split = found.get_labels(classes), found.rows["split"]
    images = StreamedImages(found, index)
    if source.split.near_duplicates:
        cached = index_path.with_name(f"{index_path.stem}-{CACHE_NAME}")
        groups = keep_together(groups, len(found), images.read_small, cached, found.name)
    if found.blocks is not None:
        warn_of_sorted_rows(found.root, labels, found.blocks)
    train, val, test = assign_splits(split, labels, source, index.digests, groups)
    warn_of_cut_groups(source, groups, (train, val, test))
    content = [*index.content, *((hash_array(column) if is_sampled else column.tolist()) for column in (labels, split))]
    digest = hashlib.blake2b(json.dumps([*content, list(classes)]).encode(), digest_size=16).hexdigest()
    num = NUM_IMAGES if found.blocks is None else NUM_IMAGES // 10
    chosen = [found.path(place) for place in choose_images(train, labels, num).tolist()]
    return DataSet(
        images=images,
        labels=torch.from_numpy(labels),
        train=torch.from_numpy(train),
        val=torch.from_numpy(val),
        test=torch.from_numpy(test),
        classes=tuple(names(name) for name in classes),
        preprocessing=load_or_compute_statistics(chosen, index_path, partial(read_stored, white=index.white)),
        image_digests=torch.from_numpy(index.digests),
        knows_contents=not is_sampled,
        digest=f"{SAMPLED}{digest}" if is_sampled else digest,
        white=index.white,
        groups=None if groups is None else torch.from_numpy(groups),
    )
