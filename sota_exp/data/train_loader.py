"""Loads training crops by step: a pure function of seed and step, so workers and resuming change nothing."""

import math
import multiprocessing
import os
import signal
import threading
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sota_exp.data.row_groups import CACHE, count_lanes, has_repeats, order_in_windows
from sota_exp.data.store_writer import UnreadableImage
from sota_exp.errors import STOP_SIGNALS
from sota_exp.stages.augmentation import Crop, Sampler
from sota_exp.stages.data import Images
from sota_exp.stages.random import Part, RandomStreams

#: Seconds that a process that loads images stays after SIGTERM: the training takes a step or two before it saves.
SECONDS_AFTER_SIGTERM = 10


@dataclass(kw_only=True)
class TrainCrops(Dataset[tuple[Tensor, Tensor]]):
    """Item `step`: the crops of this rank, uint8 [b, 3, S, S], and their positions in the training set, int64 [b].

    part: of the places in this rank's batch; None: all of them.
    """

    images: Images
    train: Tensor
    sampler: Sampler
    crop: Crop
    size: int
    interpolation: str
    batch_size: int
    streams: RandomStreams
    part: Part | None = None
    _order: tuple[int, Tensor] | None = None

    @property
    def steps_per_epoch(self) -> int:
        return len(self.train) // self.batch_size

    @property
    def num_lanes(self) -> int:
        """The lanes of blocks of images, see `order_in_windows`; 1 where there are none."""
        if self.images.blocks is None or self.sampler.composes_batches or has_repeats(self.order(0)):
            return 1
        return count_lanes(self.images.blocks, self.batch_size)

    def order(self, epoch: int) -> Tensor:
        """The positions in the training set in the order of this epoch: int64 [N]."""
        if self._order is None or self._order[0] != epoch:
            order, blocks = self.sampler(len(self.train), epoch, self.streams), self.images.blocks
            if blocks is not None and not self.sampler.composes_batches:
                generator = self.streams.generator("order/blocks", epoch)
                order = order_in_windows(order, self.train, blocks, generator, self.batch_size)
            self._order = (epoch, order)
        return self._order[1]

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        epoch, position = divmod(step, self.steps_per_epoch)
        batch = self.order(epoch)[position * self.batch_size : (position + 1) * self.batch_size]
        # Every world_size-th, as in PyTorch's DistributedSampler: adjacent repeats of an image go to different ranks.
        positions = batch[self.streams.rank :: self.streams.world_size]
        rng = replace(self.streams.random_numbers("augmentation/crop", step), part=self.part)
        positions = positions if self.part is None else positions[self.part.places]
        return self.crop(self.images, self.train[positions], self.size, rng, self.interpolation), positions


class _CropsOrError(Dataset[tuple[Tensor, Tensor] | UnreadableImage]):
    """Crops by step, or the error of an unreadable file: an error raised in a worker would be shown as a traceback.

    parts: those of a batch; item `step * len(parts) + k` is part k of the batch of that step.
    """

    def __init__(self, parts: Sequence[TrainCrops]) -> None:
        self.parts = parts

    def __getitem__(self, item: int) -> tuple[Tensor, Tensor] | UnreadableImage:
        step, part = divmod(item, len(self.parts))
        try:
            return self.parts[part][step]
        except UnreadableImage as error:
            return error


def load_crops(
    crops: TrainCrops, steps: range, num_workers: int, pin_memory: bool
) -> Generator[tuple[Tensor, Tensor], None, None]:
    """The crops of `steps` in order, each uint8 [b, 3, S, S] with positions int64 [b].

    num_workers: number of background processes; 0: crops are made in this process. Each makes whole batches, or of
        images that are read in blocks a part of every batch, so that it reads only some blocks.

    Raises:
        UnreadableImage: a file cannot be decoded.
    """
    num_parts = len(parts := share_out(crops, num_workers))
    loader = DataLoader(
        _CropsOrError(parts),
        batch_size=None,
        sampler=range(steps.start * num_parts, steps.stop * num_parts),
        num_workers=num_workers,
        pin_memory=pin_memory and num_parts == 1,
        worker_init_fn=partial(_start_worker, count_sharing(crops, num_parts)),
        # Random numbers are keyed by step; this generator only keeps PyTorch from using the global one.
        generator=torch.Generator().manual_seed(0),
    )
    made: list[tuple[Tensor, Tensor]] = []
    for item in loader:
        if isinstance(item, UnreadableImage):
            raise item
        made.append(item)
        if len(made) == num_parts:
            yield made[0] if num_parts == 1 else _put_together(parts, made, pin_memory)
            made = []


def share_out(crops: TrainCrops, num_workers: int) -> list[TrainCrops]:
    """The parts of this rank's batch that workers make: of images that are read in blocks each has places of its own.

    The places are sorted by their lanes, see `order_in_windows`, so that few lanes are read by two workers.
    """
    if num_workers < 2 or (num_lanes := crops.num_lanes) == 1:
        return [crops]
    places = torch.arange(crops.streams.rank, crops.batch_size, crops.streams.world_size)
    by_lane = (places % num_lanes).argsort(stable=True)
    shares = by_lane.tensor_split(min(num_workers, len(places)))
    return [replace(crops, part=Part(share, len(places))) for share in shares]


def count_sharing(crops: TrainCrops, num_parts: int) -> int:
    """The number of processes that the lanes are shared out to, where each rank's are by `num_parts` workers."""
    return min(crops.num_lanes, num_parts * math.gcd(crops.num_lanes, crops.streams.world_size))


def _put_together(
    parts: Sequence[TrainCrops], made: Sequence[tuple[Tensor, Tensor]], pin_memory: bool
) -> tuple[Tensor, Tensor]:
    """The batch whose parts were made: uint8 [b, 3, S, S], int64 [b]."""
    num = sum(len(positions) for _, positions in made)
    crops = torch.empty(num, *made[0][0].shape[2:], 3, dtype=torch.uint8, pin_memory=pin_memory)
    positions = torch.empty(num, dtype=torch.int64, pin_memory=pin_memory)
    for part, (cut, where) in zip(parts, made, strict=True):
        assert part.part is not None
        crops[part.part.places], positions[part.part.places] = cut.permute(0, 2, 3, 1), where
    return crops.permute(0, 3, 1, 2), positions


def _start_worker(num_sharing: int, worker: int) -> None:
    """Outlive signals, but not the training. num_sharing: processes that share blocks of images out.

    PyTorch's own check compares parent processes: where the start method is forkserver, the default of Python 3.14, the
    parent is the server, which lives as long as its workers, so all would stay for ever after a SIGKILL.
    """
    CACHE.num_sharing = num_sharing
    _outlive_signals()
    threading.Thread(target=_end_with_training, daemon=True).start()


def _end_with_training() -> None:
    training = multiprocessing.parent_process()
    assert training is not None
    training.join()
    os._exit(1)


def _outlive_signals() -> None:
    """Leave the signals that a terminal or batch system sends to all processes to the training, which ends this one.

    Python ends it with SIGTERM where the training failed, so that one acts after a while, as if the work were done.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(SECONDS_AFTER_SIGTERM))


def count_distinct_images(crops: TrainCrops, num_steps: int) -> int:
    """The number of different training images in the first `num_steps` steps."""
    seen = torch.zeros(len(crops.train), dtype=torch.bool)
    for epoch in range(math.ceil(num_steps / crops.steps_per_epoch)):
        steps = min(num_steps - epoch * crops.steps_per_epoch, crops.steps_per_epoch)
        seen[crops.order(epoch)[: steps * crops.batch_size]] = True
        if seen.all():
            break
    return int(seen.sum())
