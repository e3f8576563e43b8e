import copy
import itertools
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.model.tuning.head_only import HeadOnlyTuning
from sota_exp.techniques.regularization.average.swa import SWA, recompute_norm_statistics
from sota_exp.techniques.regularization.norm.ghost_batch import GhostBatchNorm2d
from tests.rows import each_row


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 2))


def train(model, average, first, last, num_steps):
    """Weights after each step from `first` to `last`; the average is updated after each."""
    seen = []
    for step in range(first, last):
        torch.manual_seed(step)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter))
        average.update((step + 1) / num_steps)
        seen.append([p.detach().clone() for p in model.parameters()])
    return seen


def test_is_the_plain_mean_of_equally_spaced_weights_to_the_last():
    model = network()
    average = SWA(start=0.5, num_snapshots=5)(model, 40, 0.0)
    seen = train(model, average, 0, 40, 40)
    chosen = [seen[step - 1] for step in (24, 28, 32, 36, 40)]
    for mine, values in zip(average.module.parameters(), zip(*chosen, strict=True), strict=True):
        torch.testing.assert_close(mine.detach(), torch.stack(values).mean(0))


@each_row(
    "start, num_steps, num_snapshots", itertools.product([0.0, 0.5, 0.75], [1, 7, 100, 236, 240, 479, 560], [1, 5, 30])
)
def test_takes_num_snapshots_snapshots_the_last_after_the_last_step(start, num_steps, num_snapshots):
    model = nn.Linear(1, 1)
    average = SWA(start=start, num_snapshots=num_snapshots)(model, num_steps, 0.0)
    taken = []
    for step in range(num_steps):
        before = int(average.averaged.n_averaged)
        average.update((step + 1) / num_steps)
        taken += [step + 1] if int(average.averaged.n_averaged) > before else []
    span = num_steps - int(start * num_steps)
    assert len(taken) == min(num_snapshots, span) and taken[-1] == num_steps and taken[0] > start * num_steps
    gaps = [later - earlier for earlier, later in pairwise(taken)]
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_before_the_first_snapshot_the_trained_network_is_evaluated():
    model = network()
    average = SWA(start=0.5, num_snapshots=5)(model, 40, 0.0)
    train(model, average, 0, 10, 40)
    average.finish(iter([]))
    assert average.module is model


def test_finish_recomputes_the_norm_statistics_of_the_average():
    model = network()
    average = SWA(start=0.5, num_snapshots=5)(model, 40, 0.0)
    train(model, average, 0, 40, 40)
    batches = torch.randn(3, 8, 3, 8, 8) + 2
    average.finish(iter(batches))
    features = average.module[0](batches.flatten(0, 1))
    torch.testing.assert_close(average.module[1].running_mean, features.mean((0, 2, 3)).detach())
    assert not average.module.training
    assert model[1].running_mean.abs().sum() == 0


def test_frozen_norms_keep_their_statistics():
    """With `model/tuning=head_only` the average keeps the statistics that were loaded."""
    model = network()
    model[1].running_mean.fill_(0.5)
    HeadOnlyTuning()(model, 0.0)
    average = SWA(start=0.5, num_snapshots=5)(model, 40, 0.0)
    train(model, average, 0, 40, 40)
    average.finish(torch.randn(3, 8, 3, 8, 8))
    assert average.module is not model
    for mine, loaded in zip(average.module[1].buffers(), model[1].buffers(), strict=True):
        assert torch.equal(mine, loaded)


def test_resumes_with_its_counter():
    whole_model, model = network(), network()
    whole = SWA(start=0.4, num_snapshots=4)(whole_model, 30, 0.0)
    train(whole_model, whole, 0, 30, 30)
    half = SWA(start=0.4, num_snapshots=4)(model, 30, 0.0)
    train(model, half, 0, 17, 30)
    resumed_model = network()
    resumed = SWA(start=0.4, num_snapshots=4)(resumed_model, 30, 0.0)
    resumed_model.load_state_dict(model.state_dict())
    resumed.load_state_dict(half.state_dict())
    assert resumed.module is not resumed_model
    train(resumed_model, resumed, 17, 30, 30)
    for name, value in whole.module.state_dict().items():
        assert torch.equal(resumed.module.state_dict()[name], value)


@pytest.mark.parametrize(("field", "value"), [("start", 1.0), ("start", -0.1), ("num_snapshots", 0)])
def test_illegal_values_are_named(field, value):
    with pytest.raises(InvalidValue, match=field):
        SWA(**{"start": 0.5, "num_snapshots": 4, field: value})


@pytest.mark.parametrize("norm", [nn.BatchNorm2d, lambda num: GhostBatchNorm2d(nn.BatchNorm2d(num), 2)])
def test_norm_statistics_are_those_of_pytorch_to_the_bit(norm):
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Conv2d(3, 4, 3), norm(4), nn.ReLU(), nn.Conv2d(4, 4, 3), norm(4)).eval()
    theirs, batches = copy.deepcopy(ours), [torch.rand(5, 3, 8, 8) for _ in range(7)]
    recompute_norm_statistics(ours, iter(batches))
    update_bn(batches, theirs)
    assert not ours.training and ours[1].momentum == 0.1
    for name, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value), name
