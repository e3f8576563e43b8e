import pytest
import torch

from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.schedule.lr.exponential import ExponentialDecay


def test_agrees_with_exponential_lr():
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    reference = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.01 ** (1 / 50))
    for epoch in range(51):
        assert ExponentialDecay(final_factor=0.01)(epoch / 50) == pytest.approx(reference.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        reference.step()


@pytest.mark.parametrize("value", [0.0, 1.0, -0.5])
def test_illegal_values_are_named(value):
    with pytest.raises(InvalidValue, match="final_factor"):
        ExponentialDecay(final_factor=value)
