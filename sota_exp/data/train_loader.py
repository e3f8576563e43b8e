"""Loads training crops by step: a pure function of seed and step, so workers and resuming change nothing."""

import math
import multiprocessing
import os
import signal
import threading
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sota_exp.data.row_groups import order_in_windows
from sota_exp.data.store_writer import UnreadableImage
from sota_exp.errors import STOP_SIGNALS
from sota_exp.stages.augmentation import Crop, Sampler
from sota_exp.stages.data import Images
from sota_exp.stages.random import RandomStreams

#: Seconds that a process that loads images stays after SIGTERM: the training takes a step or two before it saves.
SECONDS_AFTER_SIGTERM = 10


@dataclass(kw_only=True)
class TrainCrops(Dataset[tuple[Tensor, Tensor]]):
    """Item `step`: the crops of this rank, uint8 [b, 3, S, S], and their positions in the training set, int64 [b]."""

    images: Images
    train: Tensor
    sampler: Sampler
    crop: Crop
    size: int
    interpolation: str
    batch_size: int
    streams: RandomStreams
    _order: tuple[int, Tensor] | None = None

    @property
    def steps_per_epoch(self) -> int:
        return len(self.train) // self.batch_size

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
        rng = self.streams.random_numbers("augmentation/crop", step)
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
        images that are read in blocks its places of every batch, so that it reads only some blocks.

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
        worker_init_fn=_start_worker,
        # Random numbers are keyed by step; this generator only keeps PyTorch from using the global one.
        generator=torch.Generator().manual_seed(0),
    )
    made: list[tuple[Tensor, Tensor]] = []
    for item in loader:
        if isinstance(item, UnreadableImage):
            raise item
        made.append(item)
        if len(made) == num_parts:
            yield made[0] if num_parts == 1 else _interleave(made, pin_memory)
            made = []


def share_out(crops: TrainCrops, num_workers: int) -> list[TrainCrops]:
    """The parts of a batch that workers make, part k with every `len(parts)`-th place from place k on.

    Of images that are read in blocks each worker has a part, so that it reads the blocks of its places alone.
    """
    if crops.images.blocks is None or crops.sampler.composes_batches or num_workers < 2:
        return [crops]
    rank, size = crops.streams.rank, crops.streams.world_size
    num_parts = math.gcd(num_workers, crops.batch_size // size)
    shares = [replace(crops.streams, rank=rank + size * part, world_size=size * num_parts) for part in range(num_parts)]
    return [replace(crops, streams=streams) for streams in shares]


def _interleave(parts: list[tuple[Tensor, Tensor]], pin_memory: bool) -> tuple[Tensor, Tensor]:
    """The batch of which part k has every `len(parts)`-th image, from image k on: uint8 [b, 3, S, S], int64 [b]."""
    num = sum(len(positions) for _, positions in parts)
    crops = torch.empty(num, *parts[0][0].shape[2:], 3, dtype=torch.uint8, pin_memory=pin_memory)
    positions = torch.empty(num, dtype=torch.int64, pin_memory=pin_memory)
    for place, (cut, where) in enumerate(parts):
        crops[place :: len(parts)], positions[place :: len(parts)] = cut.permute(0, 2, 3, 1), where
    return crops.permute(0, 3, 1, 2), positions


def _start_worker(worker: int) -> None:
    """Outlive signals, but not the training.

    PyTorch's own check compares parent processes: where the start method is forkserver, the default of Python 3.14, the
    parent is the server, which lives as long as its workers, so all would stay for ever after a SIGKILL.
    """
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
