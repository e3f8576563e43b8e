"""Gradient accumulation: one optimizer step from several micro-batches, for batches that memory cannot hold at once.

∇ = Σ_m ∇ (Σ_{i in m} w_i·loss_i) / N: divided by the N images of the whole window, so that parts of unequal size weigh what
they should.

Paper: Goyal et al. 2017, Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour, 1706.02677
Setting: the largest micro_batch_size that fits. Gradients equal those of the whole batch but for batch norm, which sees
micro-batches: use ghost batch norm of that size, or group norm, to compare runs of different memory.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from sota_exp.stages.batch import Batch
from sota_exp.stages.optimizer import Accumulation
from sota_exp.stages.stage import require


def micro_batches(batch: Batch, micro_batch_size: int) -> Iterator[Batch]:
    """As few parts of at most `micro_batch_size` samples as hold the batch, in order, their sizes apart by one at most.

    Equal parts rather than a small rest: batch norm can't normalize a part of a single image.
    """
    num = math.ceil(len(batch) / micro_batch_size)
    bounds = [len(batch) * part // num for part in range(num + 1)]
    return (batch.rows(start, stop) for start, stop in pairwise(bounds))


@dataclass(frozen=True, kw_only=True)
class MicroBatches(Accumulation):
    """Runs at most `micro_batch_size` samples at a time."""

    micro_batch_size: int

    def __post_init__(self) -> None:
        require(self.micro_batch_size >= 1, "micro_batch_size", self.micro_batch_size, "a count of at least 1")

    def __call__(self, batch: Batch) -> Iterator[Batch]:
        return micro_batches(batch, self.micro_batch_size)
