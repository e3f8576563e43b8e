"""Images in the rows of parquet files. Rows are compressed in groups, so an image is read with its whole row group.

A process keeps the row groups that it read last. Training goes through random windows of row groups, with the images of
a window in random order, so that a row group is read once or twice an epoch instead of once an image. The row groups
are shared out to lanes, and the places of a batch too: processes that each take some of its places read some lanes.
"""

import functools
import importlib
import logging
import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import fsspec
import numpy as np
import torch
from torch import Tensor

from sota_exp.config.data_paths import is_address
from sota_exp.stages.data import Blocks

log = logging.getLogger(__name__)

#: Stands in the name of a row group between the file and the column and number: `train.parquet#image:7`.
MARK = ".parquet#"

#: Bytes of the row groups of a window, decompressed, and their least number: it tells how well images are shuffled. All
#: processes of a run together keep a window: 64 of Hugging Face's row groups of 100 photographs are 700 MB.
WINDOW_BYTES, MIN_GROUPS = 3 * 2**28, 8

#: Numbers of lanes: the largest is taken that a window has row groups for, and a batch places. 192 serve 3 and 6 ranks,
#: too, 64 only powers of two.
LANES = (192, 64, 32, 16, 8, 4, 2, 1)

#: Windows that are kept, of which a part is stale; and the least number of row groups that a process keeps.
KEPT_WINDOWS, MIN_KEPT = 1.5, 6

#: Names the order of `order_in_windows` in fingerprints; changed with it.
ORDER_OF_BLOCKS = "lanes of up to 192"

#: Number of files whose footers a process keeps.
MAX_FOOTERS = 1024

#: Share of the most frequent class in its row group above which rows are called sorted.
SORTED = 0.5


def count_per_window(blocks: Blocks) -> int:
    """The number of row groups in a window."""
    return max(MIN_GROUPS, int(WINDOW_BYTES / max(1, blocks.num_bytes.mean())))


def count_lanes(blocks: Blocks, batch_size: int) -> int:
    """The number of lanes of `order_in_windows` where no image is repeated."""
    most = min(count_per_window(blocks), batch_size)
    return next(num for num in LANES if num <= most)


def has_repeats(order: Tensor) -> bool:
    """Whether a position comes more than once in an order, int64 [N]."""
    return len(order.unique()) < len(order)


def import_parquet() -> Any:
    """The module `pyarrow.parquet`, which takes a while."""
    return importlib.import_module("pyarrow.parquet")


def get_file(shard: str) -> str:
    """The file that a row group, or an archive, is in."""
    return shard.partition("#")[0] if MARK in shard else shard


@contextmanager
def open_parquet(path: str, footer: Any = None) -> Iterator[Any]:
    """A parquet file at a path or an address, as a `ParquetFile`; footer: its metadata, where known.

    Raises:
        OSError: it cannot be read, in one line.
    """
    pyarrow = importlib.import_module("pyarrow")
    try:
        if not is_address(path):
            with import_parquet().ParquetFile(path, metadata=footer) as opened:
                yield opened
            return
        system, place = fsspec.core.url_to_fs(path)
        # Without reading ahead: a request for each part that is used, such as the column of the labels.
        with system.open(place, "rb", cache_type="none") as file:
            yield import_parquet().ParquetFile(file, metadata=footer)
    except (pyarrow.ArrowException, OSError) as error:
        raise OSError(f"{path} can't be read as a parquet file: {' '.join(str(error).split())[:300]}") from error


@functools.lru_cache(maxsize=MAX_FOOTERS)
def read_footer(path: str) -> Any:
    """The metadata of a parquet file."""
    with open_parquet(path) as opened:
        return opened.metadata


def load_row_group(name: str) -> Any:
    """The encoded images of a row group, an array of bytes [n]."""
    column, _, number = name.rpartition("#")[2].rpartition(":")
    path = get_file(name)
    with open_parquet(path, read_footer(path)) as opened:
        found = opened.read_row_group(int(number), columns=[column], use_threads=False).column(0).combine_chunks()
    return found.field("bytes") if str(found.type).startswith("struct") else found


class RowGroupCache:
    """The row groups that were read last; threads may share it.

    num_sharing: processes of the run that share the row groups out, so that each keeps its part of a window.
    """

    def __init__(self) -> None:
        self.num_sharing = 1
        self.clear()

    def clear(self) -> None:
        """Forget all."""
        self._kept: OrderedDict[str, Any] = OrderedDict()
        self._num_bytes = 0
        self._lock, self._loading = threading.Lock(), dict[str, threading.Lock]()

    def get(self, name: str) -> Any:
        """The encoded images of a row group, which one thread loads while others wait for it."""
        with self._lock:
            if (found := self._kept.get(name)) is not None:
                self._kept.move_to_end(name)
                return found
            loading = self._loading.setdefault(name, threading.Lock())
        with loading:
            if (found := self._kept.get(name)) is None:
                self._keep(name, found := load_row_group(name))
        return found

    def _keep(self, name: str, group: Any) -> None:
        with self._lock:
            self._kept[name] = group
            self._num_bytes += group.nbytes
            self._loading.pop(name, None)
            kept = KEPT_WINDOWS / self.num_sharing
            while self._num_bytes > kept * WINDOW_BYTES and len(self._kept) > max(kept * MIN_GROUPS, MIN_KEPT):
                self._num_bytes -= self._kept.popitem(last=False)[1].nbytes


CACHE = RowGroupCache()
if sys.platform != "win32":  # A worker process has no threads that would open the locks of its parent.
    os.register_at_fork(after_in_child=CACHE.clear)


def read_row(shard: str, row: int) -> bytes:
    """The encoded image in a row of a row group.

    Raises:
        OSError: it cannot be read, or there is none.
    """
    group = CACHE.get(shard)
    content = group[row].as_py() if row < len(group) else None
    if not isinstance(content, bytes):
        raise OSError("the row has no bytes of an image")
    return content


def order_in_windows(
    order: Tensor, train: Tensor, blocks: Blocks, generator: torch.Generator, batch_size: int
) -> Tensor:
    """The same positions, int64 [N], in lanes: place p of a batch has images of lane p modulo their number.

    A lane has a random part of the row groups, and goes through them in windows. The lanes depend on the row groups and
    the batch alone, so that an order is the same for any number of processes. Copies of a position, as repeated
    augmentation makes them, belong in one batch and on different ranks: then there is one lane, which all processes
    read.

    order: positions in `train`, int64 [M], the images of the training set.
    """
    used, group = torch.from_numpy(blocks.of)[train].unique(return_inverse=True)
    group = torch.randperm(len(used), generator=generator)[group[order]]
    per_window = count_per_window(blocks)
    num_lanes = 1 if has_repeats(order) else count_lanes(blocks, batch_size)
    lane_of_place = torch.arange(len(order)) % batch_size % num_lanes
    lane = lane_of_place.sort().values
    taken = group.argsort(stable=True)  # row group after row group
    begins = torch.ones_like(lane, dtype=torch.bool)
    begins[1:] = (group[taken].diff() != 0) | (lane.diff() != 0)
    part = begins.cumsum(0)  # of a row group that two lanes share, each has one
    first = part[torch.searchsorted(lane, lane)]
    window = lane * len(order) + (part - first) // (per_window // num_lanes)
    taken = taken[torch.argsort(window * len(order) + taken)]
    return torch.empty_like(order).index_copy_(0, lane_of_place.argsort(stable=True), order[taken])


def shuffle(images: Tensor, blocks: Blocks | None, generator: torch.Generator, batch_size: int) -> Tensor:
    """The positions of `images`, int64 [N], in random order: int64 [N]; in windows where there are row groups."""
    order = torch.randperm(len(images), generator=generator)
    return order if blocks is None else order_in_windows(order, images, blocks, generator, batch_size)


def warn_of_sorted_rows(root: object, labels: np.ndarray, blocks: Blocks) -> None:
    """Say where most images of a row group have one class, so that those of a window have few; labels: int64 [N]."""
    if len(blocks.num_bytes) <= (per_window := count_per_window(blocks)):
        return
    num = int(labels.max()) + 1
    pairs, counts = np.unique(blocks.of * num + labels, return_counts=True)
    largest = np.zeros(len(blocks.num_bytes), dtype=np.int64)
    np.maximum.at(largest, pairs // num, counts)
    share, overall = largest.sum() / len(labels), np.bincount(labels).max() / len(labels)
    if share > SORTED > 2 * overall:
        log.warning(
            "%s: its rows are sorted by class: %.0f %% of a row group are of one. Training shuffles within windows of "
            "%d row groups, so its batches have few classes: write the files in a random order, or store them decoded "
            "(data.store_gigabytes=null)",
            root,
            100 * share,
            per_window,
        )
