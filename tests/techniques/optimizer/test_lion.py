import pytest
import torch
from torch import nn

from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.optimizer.lion import Lion

FIELDS = {"lr": 2e-4, "weight_decay": 0.25, "beta1": 0.9, "beta2": 0.99}


def two_weights():
    """A matrix and a vector, as two groups with their own decay and rate, with fixed gradients."""
    rng = torch.Generator().manual_seed(0)
    weights = [nn.Parameter(torch.randn(4, 3, generator=rng)), nn.Parameter(torch.randn(4, generator=rng))]
    for weight in weights:
        weight.grad = torch.randn(weight.shape, generator=rng)
    groups = [
        {"params": [weights[0]], "weight_decay": 0.1, "lr_scale": 1.0},
        {"params": [weights[1]], "weight_decay": 0.0, "lr_scale": 10.0},
    ]
    return weights, groups


def test_groups_keep_their_decay_and_start_at_their_share_of_the_rate():
    optimizer = Lion(**FIELDS)(two_weights()[1], 0.02)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.02, 0.2])
    assert [group["lr_scale"] for group in optimizer.param_groups] == [1.0, 10.0]


def test_peak_and_decay_are_the_configured_ones():
    factory = Lion(**{**FIELDS, "lr": 0.3, "weight_decay": 0.07})
    assert (factory.lr, factory.weight_decay) == (0.3, 0.07)


@pytest.mark.parametrize(("field", "value"), [("lr", 0.0), ("weight_decay", -0.1), ("beta1", 1.0), ("beta2", -0.1)])
def test_illegal_values_are_named(field, value):
    with pytest.raises(InvalidValue, match=field):
        Lion(**{**FIELDS, field: value})


def by_hand(weight, gradient, group):
    momentum, lr = torch.zeros_like(weight), 0.02 * group["lr_scale"]
    for _ in range(2):
        weight = weight * (1 - lr * group["weight_decay"]) - lr * (0.9 * momentum + 0.1 * gradient).sign()
        momentum = 0.99 * momentum + 0.01 * gradient
    return weight


def test_two_steps_by_hand():
    weights, groups = two_weights()
    expected = [by_hand(w.detach().clone(), w.grad.clone(), g) for w, g in zip(weights, groups, strict=True)]
    optimizer = Lion(**FIELDS)(groups, 0.02)
    for _ in range(2):
        optimizer.step()
    for weight, value in zip(weights, expected, strict=True):
        torch.testing.assert_close(weight.detach(), value)
