import pytest
import torch

from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.schedule.lr.step import StepDecay


def test_agrees_with_multi_step_lr_over_90_epochs():
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    reference = torch.optim.lr_scheduler.MultiStepLR(optimizer, [30, 60], gamma=0.1)
    schedule = StepDecay(milestones=[0.33333333333, 0.66666666667], gamma=0.1)
    for epoch in range(90):
        assert schedule(epoch / 90) == pytest.approx(reference.get_last_lr()[0], rel=1e-12)
        optimizer.step()
        reference.step()


def test_a_milestone_counts_from_the_step_that_reaches_it():
    schedule = StepDecay(milestones=[0.5], gamma=0.1)
    assert [schedule(step / 4) for step in range(5)] == [1, 1, 0.1, 0.1, 0.1]


@pytest.mark.parametrize(
    ("field", "value"), [("milestones", [0.6, 0.3]), ("milestones", [0.0]), ("milestones", [1.0]), ("gamma", 1.0)]
)
def test_illegal_values_are_named(field, value):
    with pytest.raises(InvalidValue, match=field):
        StepDecay(**{"milestones": [0.5], "gamma": 0.1, field: value})
