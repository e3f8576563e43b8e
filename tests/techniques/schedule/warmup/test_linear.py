import pytest
import torch

from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.schedule.warmup.linear import LinearWarmup


def test_agrees_with_linear_lr():
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    reference = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.01, total_iters=20)
    for step in range(21):
        assert LinearWarmup(fraction=0.1, start_factor=0.01)(step / 20) == pytest.approx(reference.get_last_lr()[0])
        optimizer.step()
        reference.step()


@pytest.mark.parametrize("fraction", [1.0, 1.5])
def test_warmup_must_be_shorter_than_training(fraction):
    with pytest.raises(InvalidValue, match="warm-up must be shorter than training"):
        LinearWarmup(fraction=fraction, start_factor=0.01)


@pytest.mark.parametrize(("field", "value"), [("fraction", -0.1), ("start_factor", 0.0), ("start_factor", 1.1)])
def test_illegal_values_are_named(field, value):
    with pytest.raises(InvalidValue, match=field):
        LinearWarmup(**{"fraction": 0.1, "start_factor": 0.01, field: value})


def test_share_is_the_fraction():
    assert LinearWarmup(fraction=0.05, start_factor=0.01).fraction == 0.05
