import math

import pytest
import torch

from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.schedule.lr.cosine import CosineAnnealing
from sota_exp.techniques.schedule.lr.cosine_restarts import CosineRestarts


@pytest.mark.parametrize(("num_cycles", "cycle_mult", "first"), [(4, 2, 7), (3, 1, 20), (2, 3, 15)])
def test_agrees_with_pytorch(num_cycles, cycle_mult, first):
    total = first * sum(cycle_mult**cycle for cycle in range(num_cycles))
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    reference = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=first, T_mult=cycle_mult)
    schedule = CosineRestarts(num_cycles=num_cycles, cycle_mult=float(cycle_mult), floor=0.0)
    for step in range(total):
        assert schedule(step / total) == pytest.approx(reference.get_last_lr()[0], abs=1e-6)
        optimizer.step()
        reference.step()


def test_ends_at_the_floor_and_does_not_restart_there():
    assert CosineRestarts(num_cycles=3, cycle_mult=1.5, floor=0.05)(1.0) == pytest.approx(0.05)


def test_one_cycle_is_plain_cosine():
    restarts, cosine = CosineRestarts(num_cycles=1, cycle_mult=2.0, floor=0.1), CosineAnnealing(floor=0.1)
    assert [restarts(step / 10) for step in range(11)] == pytest.approx([cosine(step / 10) for step in range(11)])


@pytest.mark.parametrize(("num_cycles", "cycle_mult"), [(1000, 10.0), (3, math.inf), (4, 1000.0), (30, 2.0)])
def test_a_last_cycle_that_leaves_nothing_for_the_first_is_illegal(num_cycles, cycle_mult):
    with pytest.raises(InvalidValue, match="cycle_mult=.* at most a million times as long"):
        CosineRestarts(num_cycles=num_cycles, cycle_mult=cycle_mult, floor=0.0)


@pytest.mark.parametrize(("field", "value"), [("num_cycles", 0), ("cycle_mult", 0.5), ("floor", 1.0)])
def test_illegal_values_are_named(field, value):
    with pytest.raises(InvalidValue, match=field):
        CosineRestarts(**{"num_cycles": 2, "cycle_mult": 2.0, "floor": 0.0, field: value})
