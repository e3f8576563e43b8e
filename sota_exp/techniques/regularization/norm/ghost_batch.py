"""Ghost batch norm: batch norm over chunks of the device's batch, so that large batches keep the noise of small ones.

In training each chunk of `ghost_batch_size` samples (the last may be smaller) is normalized by its own statistics; in
evaluation it is batch norm. Running statistics are updated once per step: running ← (1 − m)·running + m·(mean of the
chunk statistics, weighted by size), so the effect of the momentum m does not depend on the number of chunks.

Paper: Hoffer et al. 2017, Train longer, generalize better, 1705.08741; Dimitriou & Arandjelovic 2020, A New Look at
Ghost Normalization, 2007.08554
Setting: chunks of 16 to 64 for batches of 256 and more.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sota_exp.models.parts import replace_batch_norms
from sota_exp.stages.model import ModelTransform
from sota_exp.stages.stage import Several


def compute_chunk_sizes(batch_size: int, ghost_batch_size: int, num_pixels: int) -> list[int]:
    """Sizes of the chunks; a last one with a single value per channel has no variance and joins the one before."""
    full, rest = divmod(batch_size, ghost_batch_size)
    sizes = [ghost_batch_size] * full + [rest] * (rest > 0)
    if len(sizes) > 1 and sizes[-1] * num_pixels == 1:
        sizes[-2:] = [sizes[-2] + sizes[-1]]
    return sizes


def compute_chunk_momenta(sizes: list[int], momentum: float) -> list[float]:
    """Momentum of each chunk, so that all updates together equal one with `momentum` and the chunks' weighted mean."""
    total, momenta, kept = sum(sizes), [], 1.0
    for size in reversed(sizes):
        share = momentum * size / total
        momenta.append(share / kept)
        kept -= share
    return momenta[::-1]


class GhostBatchNorm2d(nn.BatchNorm2d):
    """`BatchNorm2d` with training statistics per chunk; [B, C, H, W] → [B, C, H, W], with the same state-dict keys."""

    def __init__(self, norm: nn.BatchNorm2d, ghost_batch_size: int) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
        self.ghost_batch_size = ghost_batch_size
        self.weight, self.bias = norm.weight, norm.bias
        self.running_mean, self.running_var = norm.running_mean, norm.running_var
        self.num_batches_tracked = norm.num_batches_tracked
        #: The value of `num_batches_tracked` where it is known: reading the tensor waits for its device.
        self.num_batches: int | None = None
        self.train(norm.training)

    def reset_running_stats(self) -> None:
        super().reset_running_stats()
        self.num_batches = None

    def _load_from_state_dict(self, *arguments: Any, **named: Any) -> None:
        super()._load_from_state_dict(*arguments, **named)
        self.num_batches = None

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        momentum = self.momentum
        if (count := self.num_batches_tracked) is not None:  # None while activations are computed again
            count.add_(1)
            if momentum is None:  # the mean of all batches
                self.num_batches = int(count) if self.num_batches is None else self.num_batches + 1
                momentum = 1 / self.num_batches
        assert momentum is not None, "a batch norm that keeps running statistics"
        sizes = compute_chunk_sizes(len(x), self.ghost_batch_size, x.shape[2] * x.shape[3])
        chunks = zip(x.split(sizes), compute_chunk_momenta(sizes, momentum), strict=True)
        mean, var, weight, bias = self.running_mean, self.running_var, self.weight, self.bias
        return torch.cat([F.batch_norm(chunk, mean, var, weight, bias, True, m, self.eps) for chunk, m in chunks])


@dataclass(frozen=True, kw_only=True)
class GhostBatchNormalization(ModelTransform):
    ghost_batch_size: Several

    def __call__(self, model: nn.Module) -> nn.Module:
        return replace_batch_norms(model, lambda norm: GhostBatchNorm2d(norm, self.ghost_batch_size))
