"""SWA: an equally weighted average of snapshots of the weights from the last part of training.

avg = (1/n) Σ w_t over `num_snapshots` equally spaced steps from `start` to the end. Then one pass over the training
images, shuffled and in batches of the size of training, recomputes the batch-norm statistics for the averaged weights;
statistics that were frozen in training stay.

Paper: Izmailov et al. 2018, Averaging Weights Leads to Wider Optima and Better Generalization, 1803.05407
Setting: start 0.75 with a learning rate that stays high to the end (constant or step): a trained ResNet-152 reached
78.9 % on ImageNet in a few more epochs. With a cosine to zero, snapshots are too similar for averaging to help.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from sota_exp.stages.average import Average, CopiedAverage, WeightAverage
from sota_exp.stages.stage import Count, FractionBelowOne


def count_snapshots(step: int, start: float, num_snapshots: int, num_steps: int) -> int:
    """Number of snapshots after `step` optimizer steps: at most one per step, evenly spaced from `start` to the end."""
    span = num_steps - min(math.floor(start * num_steps), num_steps - 1)
    return max(0, step - (num_steps - span)) * min(num_snapshots, span) // span


def update_equal_average(averaged: list[Tensor], current: list[Tensor], num_updates: int) -> None:
    """avg ← avg + (w − avg) / (n + 1) of averaged tensors [...] and current ones [...], in place."""
    differences = torch._foreach_sub(current, averaged)
    torch._foreach_div_(differences, num_updates + 1)
    torch._foreach_add_(averaged, differences)


@torch.no_grad()
def recompute_norm_statistics(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Set the statistics of batch norm to their means over batches of images, float [B, 3, S, S] each.

    As PyTorch's `update_bn`, but the batches are counted here: there each layer reads its count from the device.
    """
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    momenta, was_training = [norm.momentum for norm in norms], network.training
    for norm in norms:
        norm.reset_running_stats()
    network.train()
    for number, images in enumerate(batches, 1):
        for norm in norms:
            norm.momentum = 1 / number
        network(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.train(was_training)


class EqualAverage(CopiedAverage):
    """The averaged copy of a network; `module` is the network itself until the first snapshot."""

    def __init__(self, model: nn.Module, num_taken: Callable[[int], int]) -> None:
        """num_taken: number of optimizer steps → number of snapshots."""
        super().__init__(model)
        self.num_taken, self.module = num_taken, model

    def update(self, progress: float) -> None:
        self.step += 1
        if self.num_taken(self.step) > self.num_taken(self.step - 1):
            self.update_copy(update_equal_average, with_buffers=False)
            self.module = self.averaged.module

    def finish(self, batches: Iterable[Tensor]) -> None:
        # Batch norms in eval mode are frozen, with the statistics loaded.
        are_moving = any(module.training for module in self.model.modules() if isinstance(module, _BatchNorm))
        if self.module is self.averaged.module and are_moving:
            recompute_norm_statistics(self.module, batches)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.module = self.averaged.module if self.averaged.n_averaged > 0 else self.model


@dataclass(frozen=True, kw_only=True)
class SWA(Average):
    start: FractionBelowOne
    num_snapshots: Count

    def __call__(self, model: nn.Module, num_steps: int, warmup: float, num_epochs: int = 1) -> WeightAverage:
        taken = partial(count_snapshots, start=self.start, num_snapshots=self.num_snapshots, num_steps=num_steps)
        return EqualAverage(model, taken)
