import math

import pytest
import torch
from timm.utils import ModelEmaV3
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sota_exp.stages.average import WeightAverage
from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.regularization.average.ema import EMA, StepsPerEpoch, compute_decay, compute_update_interval


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 2))


def ema(**fields):
    """The option with default values, except for those of the test."""
    return EMA(**{"horizon": 0.1, "decay": None, "every": 1, "anchor": "last", "warmup_power": None, **fields})


def train(model, average, steps, num_steps, reference=None, first=0):
    """Steps that change weights and statistics, each followed by an update and a call of `reference(step)`."""
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
    average = ema(horizon=0.2, every=every)(model, 40, 0.0)
    decay = math.exp(-every / (0.2 * 40))
    reference = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
    train(model, average, 40, 40, lambda step: (step + 1) % every == 0 and reference.update_parameters(model))
    assert_same(average, reference.module)


def test_gives_the_published_decay():
    # Batch 1024, every 32 steps, decay 0.99998 before torchvision's adjustment, 600 epochs of ImageNet.
    adjusted = 1 - (1 - 0.99998) * 1024 * 32 / 600
    num_steps = 600 * 1251
    assert compute_update_interval(0.039, 32, num_steps) == 32
    assert compute_decay(0.039, 32, num_steps) == pytest.approx(adjusted, abs=5e-6)


def test_copies_the_weights_during_warmup():
    model = network()
    average = ema(horizon=0.5, every=1)(model, 20, 0.5)
    train(model, average, 9, 20, lambda step: assert_same(average, model))
    train(model, average, 5, 20, first=9)
    with pytest.raises(AssertionError):
        assert_same(average, model)


def test_is_not_a_stale_copy_on_a_run_shorter_than_its_interval():
    model = network()
    start = {name: value.clone() for name, value in model.state_dict().items()}
    average = ema(horizon=0.1, every=32)(model, 20, 0.0)
    train(model, average, 20, 20)
    assert not torch.allclose(average.module.state_dict()["3.weight"], start["3.weight"])


def test_the_last_step_always_updates():
    model = network()
    average = ema(horizon=1.0, every=7)(model, 20, 0.0)
    train(model, average, 19, 20)
    before = average.module[3].weight.clone()
    train(model, average, 1, 20, first=19)
    assert not torch.equal(average.module[3].weight, before)


def test_resumes_with_its_counter():
    whole_model, model = network(), network()
    whole = ema(horizon=0.3, every=3)(whole_model, 30, 0.1)
    train(whole_model, whole, 30, 30)
    half = ema(horizon=0.3, every=3)(model, 30, 0.1)
    train(model, half, 14, 30)
    resumed_model = network()
    resumed = ema(horizon=0.3, every=3)(resumed_model, 30, 0.1)
    resumed_model.load_state_dict(model.state_dict())
    resumed.load_state_dict(half.state_dict())
    train(resumed_model, resumed, 16, 30, first=14)
    for name, value in whole.module.state_dict().items():
        assert torch.equal(resumed.module.state_dict()[name], value)


def test_the_trained_weights_are_never_touched_and_the_average_never_trains():
    model, alone = network(), network()
    average = ema(horizon=0.3, every=2)(model, 10, 0.0)
    train(model, average, 10, 10)
    train(alone, ema(horizon=0.3, every=10)(alone, 10, 0.0), 10, 10)
    torch.testing.assert_close(model.state_dict(), alone.state_dict())
    assert not average.module.training
    assert not any(p.requires_grad for p in average.module.parameters())


@pytest.mark.parametrize(
    ("field", "value"), [("horizon", 0.0), ("horizon", 1.1), ("horizon", None), ("every", 0), ("anchor", "first")]
)
def test_illegal_values_are_named(field, value):
    with pytest.raises(InvalidValue, match=field):
        ema(**{field: value})


def test_a_decay_is_legal_where_there_is_no_horizon():
    for decay in (-0.1, 1.0):
        with pytest.raises(InvalidValue, match="decay"):
            ema(horizon=None, decay=decay)
    with pytest.raises(InvalidValue, match="null with a decay"):
        ema(horizon=0.1, decay=0.9)


def of_the_reference(reference, model, epoch, i, every, warmup_epochs):
    """The lines of torchvision's `train_one_epoch` (references/classification/train.py) that update the average."""
    if i % every == 0:
        reference.update_parameters(model)
        if epoch < warmup_epochs:
            reference.n_averaged.fill_(0)


@pytest.mark.parametrize("warmup_epochs", [0, 1, 2])
@pytest.mark.parametrize(("steps_per_epoch", "every"), [(7, 3), (40, 32), (3, 32), (6, 2), (5, 1)])
def test_anchored_at_epochs_it_is_the_references_to_the_bit(warmup_epochs, steps_per_epoch, every):
    """After every step, during and after warm-up, also if `every` does not divide the steps of an epoch."""
    model, epochs, decay = network(), 6, 0.7
    num_steps = epochs * steps_per_epoch
    average = ema(horizon=None, decay=decay, every=every, anchor="epoch")(
        model, num_steps, warmup_epochs / epochs, epochs
    )
    reference = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)

    def follow(step):
        of_the_reference(reference, model, *divmod(step, steps_per_epoch), every, warmup_epochs)
        for name, value in reference.module.state_dict().items():
            assert torch.equal(average.module.state_dict()[name], value), (step, name)

    train(model, average, num_steps, num_steps, follow)


def test_the_first_update_after_warmup_is_one_more_copy():
    updates = StepsPerEpoch(num_epochs=4, steps_per_epoch=5, every=2, warmup=0.5)
    assert [step for step in range(1, 11) if updates.due(step)] == [1, 3, 5, 6, 8, 10]
    assert [step for step in range(1, 21) if updates.due(step) and updates.is_copy(step)] == [1, 3, 5, 6, 8, 10, 11]


def test_a_horizon_means_the_same_age_where_epochs_anchor():
    """40 steps per epoch with updates after 1 and 33: 20 steps between updates on average."""
    assert StepsPerEpoch(num_epochs=10, steps_per_epoch=40, every=32, warmup=0).mean_interval == 20


def test_anchored_at_epochs_it_resumes():
    whole_model, model = network(), network()
    stage = ema(horizon=None, decay=0.8, every=3, anchor="epoch")
    whole, half = stage(whole_model, 30, 0.2, 5), stage(model, 30, 0.2, 5)
    train(whole_model, whole, 30, 30)
    train(model, half, 14, 30)
    resumed_model = network()
    resumed = stage(resumed_model, 30, 0.2, 5)
    resumed_model.load_state_dict(model.state_dict())
    resumed.load_state_dict(half.state_dict())
    train(resumed_model, resumed, 16, 30, first=14)
    assert all(
        torch.equal(resumed.module.state_dict()[name], value) for name, value in whole.module.state_dict().items()
    )


@pytest.mark.parametrize("decay", [0.3, 0.9])
def test_the_warm_up_of_the_decay_is_timms(decay):
    model = network()
    average = ema(horizon=None, decay=decay, warmup_power=2 / 3)(model, 12, 0.0)
    reference = ModelEmaV3(model, decay=decay, use_warmup=True, warmup_power=2 / 3, warmup_gamma=1.0)
    train(model, average, 12, 12, lambda step: reference.update(model, step=step + 1))
    ours, theirs = average.module.state_dict(), reference.module.state_dict()
    floats = [name for name, value in theirs.items() if value.is_floating_point()]
    torch.testing.assert_close({name: ours[name] for name in floats}, {name: theirs[name] for name in floats})


@pytest.mark.parametrize("warmup_power", [None, 2 / 3])
def test_indices_in_buffers_stay_what_they_are(warmup_power):
    """Swin Transformer's `relative_position_index`: PyTorch averages integers too, and cuts what 0.9·7 + 0.1·7 gives."""
    model = network()
    model.register_buffer("index", torch.arange(2401))
    average = ema(horizon=None, decay=0.9, every=1, warmup_power=warmup_power)(model, 100, 0.0)
    for step in range(20):
        average.update(step / 100)
    assert torch.equal(average.module.get_buffer("index"), torch.arange(2401))
