import pytest
import torch

from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.schedule.warmup.constant import ConstantWarmup


def test_agrees_with_constant_lr():
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    reference = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=0.1, total_iters=10)
    warmup = ConstantWarmup(fraction=0.2, factor=0.1)
    for step in range(10):
        assert warmup(step / 10) == pytest.approx(reference.get_last_lr()[0])
        optimizer.step()
        reference.step()
    assert warmup.fraction == 0.2


@pytest.mark.parametrize(("field", "value"), [("fraction", 1.0), ("fraction", -0.1), ("factor", 0.0), ("factor", 2.0)])
def test_illegal_values_are_named(field, value):
    with pytest.raises(InvalidValue, match=field):
        ConstantWarmup(**{"fraction": 0.1, "factor": 0.1, field: value})
