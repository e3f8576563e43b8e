import pytest
import torch

from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.optimizer.lion import Lion

FIELDS = {"lr": 2e-4, "weight_decay": 0.25, "beta1": 0.9, "beta2": 0.99}


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


def test_two_steps_by_hand(two_weights):
    weights, groups = two_weights
    expected = [by_hand(w.detach().clone(), w.grad.clone(), g) for w, g in zip(weights, groups, strict=True)]
    optimizer = Lion(**FIELDS)(groups)
    for _ in range(2):
        optimizer.step()
    for weight, value in zip(weights, expected, strict=True):
        torch.testing.assert_close(weight.detach(), value)
