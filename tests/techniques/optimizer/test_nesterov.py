import pytest
import torch

from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.optimizer.nesterov import Nesterov

FIELDS = {"lr": 0.1, "weight_decay": 1e-4, "momentum": 0.9}


@pytest.mark.parametrize(
    ("field", "value"), [("lr", 0.0), ("weight_decay", -0.1), ("momentum", 1.0), ("momentum", 0.0)]
)
def test_illegal_values_are_named(field, value):
    with pytest.raises(InvalidValue, match=field):
        Nesterov(**{**FIELDS, field: value})


def by_hand(weight, gradient, group):
    velocity = torch.zeros_like(weight)
    for _ in range(2):
        decayed = gradient + group["weight_decay"] * weight
        velocity = 0.9 * velocity + decayed
        weight = weight - 0.02 * group["lr_scale"] * (decayed + 0.9 * velocity)
    return weight


def test_two_steps_by_hand(two_weights):
    weights, groups = two_weights
    expected = [by_hand(w.detach().clone(), w.grad.clone(), g) for w, g in zip(weights, groups, strict=True)]
    optimizer = Nesterov(**FIELDS)(groups)
    for _ in range(2):
        optimizer.step()
    for weight, value in zip(weights, expected, strict=True):
        torch.testing.assert_close(weight.detach(), value)
