"""Synchronized batch norm on CPUs: the five kernels that PyTorch has for GPUs alone, as formulas."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

import torch
from torch import Tensor, nn

from sota_exp.training import distributed


def _over_images(x: Tensor) -> list[int]:
    return [axis for axis in range(x.dim()) if axis != 1]


def _by_channel(values: Tensor, x: Tensor) -> Tensor:
    """Values [C] beside x [B, C, …]."""
    return values.view(1, -1, *[1] * (x.dim() - 2))


def stats(x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Mean and 1/σ of each channel, [C] each."""
    return x.mean(_over_images(x)), (x.var(_over_images(x), correction=0) + eps).rsqrt()


def gather_stats(
    x: Tensor, means: Tensor, invstds: Tensor, running_mean: Tensor, running_var: Tensor, momentum: float, eps: float,
    counts: Tensor
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Mean and 1/σ over all processes; moves the running statistics. means, invstds: [W, C]. counts: [W]."""
    total, shares = counts.sum(), (counts / counts.sum())[:, None]
    mean = (shares * means).sum(0)
    var = (shares * (invstds**-2 - eps + means**2)).sum(0) - mean**2
    running_mean.lerp_(mean, momentum)
    running_var.lerp_(var * total / (total - 1), momentum)
    return mean, (var + eps).rsqrt()


def elemt(x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, invstd: Tensor, eps: float) -> Tensor:
    return (x - _by_channel(mean, x)) * _by_channel(invstd * weight, x) + _by_channel(bias, x)


def backward_reduce(
    grad: Tensor, x: Tensor, mean: Tensor, invstd: Tensor, weight: Tensor, *asked: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Sums over this process's images: of dy, of dy (x − mean), and the gradients of weight and bias."""
    sum_dy, sum_dy_xmu = (each.sum(_over_images(x)) for each in (grad, grad * (x - _by_channel(mean, x))))
    return sum_dy, sum_dy_xmu, sum_dy_xmu * invstd, sum_dy


def backward_elemt(
    grad: Tensor, x: Tensor, mean: Tensor, invstd: Tensor, weight: Tensor, sum_dy: Tensor, sum_dy_xmu: Tensor,
    counts: Tensor
) -> Tensor:  # fmt: skip
    """The gradient of x from sums over all processes."""
    total = counts.sum()
    centred = grad - _by_channel(sum_dy / total, x)
    return (centred - (x - _by_channel(mean, x)) * _by_channel(invstd**2 * sum_dy_xmu / total, x)) * _by_channel(
        invstd * weight, x
    )


@contextmanager
def synchronized_on_cpu() -> Iterator[None]:
    """While entered, `SyncBatchNorm` gathers statistics over gloo, and nobody refuses it on the CPU."""
    kernels = {
        "batch_norm_stats": stats,
        "batch_norm_gather_stats_with_counts": gather_stats,
        "batch_norm_elemt": elemt,
        "batch_norm_backward_reduce": backward_reduce,
        "batch_norm_backward_elemt": backward_elemt,
    }
    with ExitStack() as stack:
        for name, kernel in kernels.items():
            stack.enter_context(mock.patch.object(torch, name, kernel))
        forward = nn.SyncBatchNorm.forward

        def forward_on_cpu(norm: nn.SyncBatchNorm, x: Tensor) -> Tensor:
            with mock.patch.object(torch._C, "_get_privateuse1_backend_name", return_value="cpu"):
                return forward(norm, x)

        stack.enter_context(mock.patch.object(nn.SyncBatchNorm, "forward", forward_on_cpu))
        wrapper = nn.parallel.DistributedDataParallel
        stack.enter_context(mock.patch.object(wrapper, "_passing_sync_batchnorm_handle"))
        stack.enter_context(mock.patch.object(distributed, "require_synchronizing"))
        yield
