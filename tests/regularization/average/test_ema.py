import math

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sota_exp.regularization.average.ema import EMA, decay_per_update, update_interval
from sota_exp.stages import InvalidValue, WeightAverage


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 2))


def train(model, average, steps, num_steps, reference=None, first=0):
    """Steps that move weights and statistics, each followed by an update; `reference(step)` is called after it."""
    for step in range(first, first + steps):
        torch.manual_seed(step)
        model(torch.randn(4, 3, 8, 8))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter))
        average.update((step + 1) / num_steps)
        if reference is not None:
            reference(step)


def assert_same(average: WeightAverage, module: nn.Module):
    torch.testing.assert_close(average.module.state_dict(), module.state_dict())


@pytest.mark.parametrize("every", [1, 4])
def test_agrees_with_pytorchs_averaged_model(every):
    model = network()
    average = EMA(horizon=0.2, every=every)(model, 40, 0.0)
    decay = math.exp(-every / (0.2 * 40))
    reference = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
    train(model, average, 40, 40, lambda step: (step + 1) % every == 0 and reference.update_parameters(model))
    assert_same(average, reference.module)


def test_the_published_number_comes_back():
    # Batch 1024, every 32 steps, decay 0.99998 before its adjustment, 600 epochs of ImageNet.
    adjusted = 1 - (1 - 0.99998) * 1024 * 32 / 600
    num_steps = 600 * 1251
    assert update_interval(0.039, 32, num_steps) == 32
    assert decay_per_update(0.039, 32, num_steps) == pytest.approx(adjusted, abs=5e-6)


def test_copies_the_weights_during_warmup():
    model = network()
    average = EMA(horizon=0.5, every=1)(model, 20, 0.5)
    train(model, average, 9, 20, lambda step: assert_same(average, model))
    train(model, average, 5, 20, first=9)
    with pytest.raises(AssertionError):
        assert_same(average, model)


def test_is_not_a_stale_copy_on_a_run_shorter_than_its_interval():
    model = network()
    start = {name: value.clone() for name, value in model.state_dict().items()}
    average = EMA(horizon=0.1, every=32)(model, 20, 0.0)
    train(model, average, 20, 20)
    assert not torch.allclose(average.module.state_dict()["3.weight"], start["3.weight"])


def test_the_last_step_is_always_taken_in():
    model = network()
    average = EMA(horizon=1.0, every=7)(model, 20, 0.0)
    train(model, average, 19, 20)
    before = average.module[3].weight.clone()
    train(model, average, 1, 20, first=19)
    assert not torch.equal(average.module[3].weight, before)


def test_resumes_with_its_counter():
    whole_model, model = network(), network()
    whole = EMA(horizon=0.3, every=3)(whole_model, 30, 0.1)
    train(whole_model, whole, 30, 30)
    half = EMA(horizon=0.3, every=3)(model, 30, 0.1)
    train(model, half, 14, 30)
    resumed_model = network()
    resumed = EMA(horizon=0.3, every=3)(resumed_model, 30, 0.1)
    resumed_model.load_state_dict(model.state_dict())
    resumed.load_state_dict(half.state_dict())
    train(resumed_model, resumed, 16, 30, first=14)
    for name, value in whole.module.state_dict().items():
        assert torch.equal(resumed.module.state_dict()[name], value)


def test_the_trained_weights_are_never_touched_and_the_average_never_trains():
    model, alone = network(), network()
    average = EMA(horizon=0.3, every=2)(model, 10, 0.0)
    train(model, average, 10, 10)
    train(alone, EMA(horizon=0.3, every=10)(alone, 10, 0.0), 10, 10)
    torch.testing.assert_close(model.state_dict(), alone.state_dict())
    assert not average.module.training
    assert not any(p.requires_grad for p in average.module.parameters())


@pytest.mark.parametrize(("field", "value"), [("horizon", 0.0), ("horizon", 1.1), ("every", 0)])
def test_illegal_values_are_named(field, value):
    with pytest.raises(InvalidValue, match=field):
        EMA(**{"horizon": 0.1, "every": 1, field: value})
