"""Gradient accumulation: one optimizer step from several micro-batches, for batches that memory cannot hold at once.

∇ = Σ_m ∇ (Σ_{i in m} w_i·loss_i) / N: divided by the N images of the whole window, so its last, smaller part weighs what it
should.

Paper: Goyal et al. 2017, Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour, 1706.02677
Setting: the largest micro_batch_size that fits. Gradients equal those of the whole batch but for batch norm, which sees
micro-batches: use ghost batch norm of that size, or group norm, to compare runs of different memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from sota_exp.stages import Accumulation, Batch, require


def micro_batches(batch: Batch, micro_batch_size: int) -> Iterator[Batch]:
    """Parts of `micro_batch_size` samples in order; the last holds what is left."""
    return (batch.rows(start, start + micro_batch_size) for start in range(0, len(batch), micro_batch_size))


@dataclass(frozen=True, kw_only=True)
class MicroBatches(Accumulation):
    """Runs `micro_batch_size` samples at a time."""

    micro_batch_size: int

    def __post_init__(self) -> None:
        require(self.micro_batch_size >= 1, "micro_batch_size", self.micro_batch_size, "a count of at least 1")

    def __call__(self, batch: Batch) -> Iterator[Batch]:
        return micro_batches(batch, self.micro_batch_size)
