"""Gradient accumulation: makes one optimizer step from several micro-batches, for batches that do not fit into memory.

∇ = Σ_m ∇ (Σ_{i in m} w_i·loss_i) / N, with N the size of the whole batch, so micro-batches of unequal size are weighted
correctly.

Paper: Goyal et al. 2017, Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour, 1706.02677
Setting: the largest micro_batch_size that fits. Gradients equal those of the whole batch except with batch norm, whose
statistics are those of a micro-batch: to compare runs with different memory, use ghost batch norm of that size or group
norm. Its running statistics move once per micro-batch: with k of them per step they forget k times as fast, unless
`regularization.norm.momentum` is 1 − (1 − m)^(1/k) instead of m.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from sota_exp.stages.batch import Batch
from sota_exp.stages.optimizer import Accumulation
from sota_exp.stages.stage import Count


@dataclass(frozen=True, kw_only=True)
class MicroBatches(Accumulation):
    micro_batch_size: Count

    def __call__(self, batch: Batch) -> Iterator[Batch]:
        # Parts of equal size, up to one sample: batch norm can't normalize a remainder of a single image.
        num = math.ceil(len(batch) / self.micro_batch_size)
        bounds = [len(batch) * part // num for part in range(num + 1)]
        return (batch.rows(start, stop) for start, stop in pairwise(bounds))
