import pytest
import torch

from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.schedule.lr.one_cycle import OneCycle


def test_agrees_with_pytorch():
    total = 101
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    # PyTorch counts the peak as step pct_start·total − 1 of total − 1.
    reference = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1.0, total_steps=total, pct_start=31 / total, cycle_momentum=False
    )
    schedule = OneCycle(pct_start=0.3, div_factor=25.0, final_div_factor=1e4)
    for step in range(total):
        assert schedule(step / (total - 1)) == pytest.approx(reference.get_last_lr()[0], rel=1e-6, abs=1e-9)
        if step < total - 1:
            optimizer.step()
            reference.step()


@pytest.mark.parametrize(("progress", "multiplier"), [(0.0, 0.1), (0.25, 1.0), (1.0, 0.001)])
def test_passes_through_start_peak_and_end(progress, multiplier):
    schedule = OneCycle(pct_start=0.25, div_factor=10.0, final_div_factor=100.0)
    assert schedule(progress) == pytest.approx(multiplier)


@pytest.mark.parametrize(("field", "value"), [("pct_start", 0.0), ("div_factor", 0.5), ("final_div_factor", 0.5)])
def test_illegal_values_are_named(field, value):
    with pytest.raises(InvalidValue, match=field):
        OneCycle(**{"pct_start": 0.3, "div_factor": 25.0, "final_div_factor": 1e4, field: value})
