"""EMA: evaluates an exponential moving average of the weights instead of the weights themselves.

avg ← d·avg + (1 − d)·w every `every` optimizer steps, d = exp(−every / (horizon · num_steps)), buffers too. During
warm-up avg is a copy of w. If the horizon of a short run has fewer than `every` steps, avg is updated once per horizon.
The last step always updates avg, so that it is never outdated.

With `warmup_power` r the nth update keeps min(d, 1 − (1 + n)^−r) of avg, as in timm's ModelEmaV3 with warm-up (r 2/3),
so that a long average forgets the random weights of the beginning.

With anchor=epoch the updates are those of torchvision: after steps 1, 1 + every, … of each epoch, and the first update
after warm-up is a copy too. `decay`, if set instead of `horizon`, is d itself.

Paper: Polyak & Juditsky 1992 (SIAM, no arXiv); Tarvainen & Valpola 2017, Mean teachers are better role models,
1703.01780
Setting: horizon 0.039 (a mean age of 3.9 % of training), every 32: +0.25 points for ResNet-50 in torchvision's recipe,
where d is 0.99891 per update. torchvision's rule for d ignores the size of the data set; a horizon does not.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn

from sota_exp.stages.average import Average, CopiedAverage, Update, WeightAverage
from sota_exp.stages.stage import Count, FractionBelowOne, Legal, Positive, added_field, one_of


def compute_update_interval(horizon: float, every: int, num_steps: int) -> int:
    """Optimizer steps between updates: `every`, or the horizon if that is shorter."""
    return max(1, min(every, math.floor(horizon * num_steps)))


def compute_decay(horizon: float, interval: float, num_steps: int) -> float:
    """The decay d in [0, 1) for a mean age of `horizon` · `num_steps` steps."""
    return math.exp(-interval / (horizon * num_steps))


@dataclass(frozen=True, kw_only=True)
class StepsFromLast:
    """Every `interval` steps, counted back from the last step; copies during the fraction `warmup` of training."""

    num_steps: int
    interval: int
    warmup: float

    def due(self, step: int) -> bool:
        """Whether the average is updated after `step`, counted from 1."""
        return (self.num_steps - step) % self.interval == 0

    def is_copy(self, step: int) -> bool:
        """Whether the update after `step` copies the weights."""
        return step / self.num_steps < self.warmup


@dataclass(frozen=True, kw_only=True)
class StepsPerEpoch:
    """After steps 1, 1 + `every`, … of each epoch; a copy if the previous update's epoch started during warm-up."""

    num_epochs: int
    steps_per_epoch: int
    every: int
    warmup: float

    def due(self, step: int) -> bool:
        return (step - 1) % self.steps_per_epoch % self.every == 0

    def is_copy(self, step: int) -> bool:
        epoch, position = divmod(step - 1, self.steps_per_epoch)
        return (epoch if position else epoch - 1) / self.num_epochs < self.warmup

    @property
    def mean_interval(self) -> float:
        """Mean number of steps between updates."""
        return self.steps_per_epoch / math.ceil(self.steps_per_epoch / self.every)


def make_update(decay: float, warmup_power: float | None) -> Update:
    """An update of averaged tensors [...] by current ones; with a power the decay grows with the number of updates."""

    def update(averaged: list[Tensor], current: list[Tensor], num_updates: int) -> None:
        kept = decay if warmup_power is None else min(decay, 1 - (1 + num_updates) ** -warmup_power)
        if averaged[0].is_floating_point():
            torch._foreach_lerp_(averaged, current, 1 - kept)
            return
        for old, new in zip(averaged, current, strict=True):
            # Without the rounding of integers that are equal: 0.9·7 + 0.1·7 is cut to 6, another index.
            mixed = (old * kept + new * (1 - kept)).to(old.dtype)
            old.copy_(new.where(old == new, mixed))

    return update


class MovingAverage(CopiedAverage):
    """The averaged copy of a network, and the number of optimizer steps so far."""

    def __init__(
        self, model: nn.Module, updates: StepsFromLast | StepsPerEpoch, decay: float, warmup_power: float | None = None
    ) -> None:
        super().__init__(model)
        self.updates, self.make_average = updates, make_update(decay, warmup_power)

    def update(self, progress: float) -> None:
        self.step += 1
        if self.updates.due(self.step):
            if self.updates.is_copy(self.step):
                self.averaged.n_averaged.zero_()
            self.update_copy(self.make_average, with_buffers=True)

    def finish(self, batches: Iterable[Tensor]) -> None:
        """Does nothing with the images [B, 3, S, S]: norm statistics were averaged with the weights."""


@dataclass(frozen=True, kw_only=True)
class EMA(Average):
    horizon: Annotated[
        float | None,
        Legal(
            lambda value, decay: value is None if decay is not None else value is not None and 0 < value <= 1,
            "a fraction of training in (0, 1], or null with a decay; exactly one of the two, here decay={decay}",
        ),
    ]
    decay: FractionBelowOne | None
    every: Count
    anchor: Annotated[str, one_of("last", "epoch")]
    warmup_power: Positive | None = added_field(None)

    def __call__(self, model: nn.Module, num_steps: int, warmup: float, num_epochs: int = 1) -> WeightAverage:
        if self.anchor == "epoch":
            per_epoch = StepsPerEpoch(
                num_epochs=num_epochs, steps_per_epoch=num_steps // num_epochs, every=self.every, warmup=warmup
            )
            decay = self._decay(per_epoch.mean_interval, num_steps)
            return MovingAverage(model, per_epoch, decay, self.warmup_power)
        interval = self.every if self.horizon is None else compute_update_interval(self.horizon, self.every, num_steps)
        from_the_last = StepsFromLast(num_steps=num_steps, interval=interval, warmup=warmup)
        return MovingAverage(model, from_the_last, self._decay(interval, num_steps), self.warmup_power)

    def _decay(self, interval: float, num_steps: int) -> float:
        if self.horizon is not None:
            return compute_decay(self.horizon, interval, num_steps)
        assert self.decay is not None
        return self.decay
