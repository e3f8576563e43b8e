from itertools import pairwise

import pytest
import torch

from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.schedule.lr.cosine import CosineAnnealing
from sota_exp.techniques.schedule.stepping.epoch import SteppingPerEpoch
from sota_exp.techniques.schedule.warmup.linear import LinearWarmup


def published_lr(epoch: int, step: int) -> float:
    """The recipe's learning rate computed by our stages, at a step within an epoch of 1251 steps."""
    warmup, cosine = LinearWarmup(fraction=5 / 600, start_factor=0.01), CosineAnnealing(floor=0.0)
    progress = SteppingPerEpoch()(epoch * 1251 + step, 1251, 600 * 1251)
    if progress < warmup.fraction:
        return 0.5 * warmup(progress / warmup.fraction)
    return 0.5 * cosine((progress - warmup.fraction) / (1 - warmup.fraction))


def test_agrees_with_torchvisions_scheduler_over_all_600_epochs():
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.5)
    linear = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.01, total_iters=5)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=595)
    reference = torch.optim.lr_scheduler.SequentialLR(optimizer, [linear, cosine], milestones=[5])
    for epoch in range(600):
        assert published_lr(epoch, 700) == pytest.approx(reference.get_last_lr()[0], abs=1e-9)
        optimizer.step()
        reference.step()


def test_first_epochs_of_the_published_recipe():
    trace = [published_lr(epoch, step) for epoch in range(7) for step in (0, 1250)]
    assert trace[::2] == trace[1::2]
    assert trace[::2] == pytest.approx([0.005, 0.104, 0.203, 0.302, 0.401, 0.5, 0.5], abs=1e-5)


@pytest.mark.parametrize("floor", [0.0, 0.1])
def test_falls_from_one_to_the_floor(floor):
    values = [CosineAnnealing(floor=floor)(step / 100) for step in range(101)]
    assert values[0] == 1.0
    assert values[-1] == floor
    assert all(a > b for a, b in pairwise(values))


def test_a_floor_of_the_whole_peak_is_refused():
    with pytest.raises(InvalidValue, match="floor=1"):
        CosineAnnealing(floor=1.0)
