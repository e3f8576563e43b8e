import pytest
import torch

from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.optimizer.rmsprop import RMSprop

FIELDS = {"lr": 0.01, "weight_decay": 1e-4, "alpha": 0.9, "momentum": 0.9, "eps": 1e-3}


@pytest.mark.parametrize(
    ("field", "value"), [("lr", 0.0), ("weight_decay", -0.1), ("alpha", 1.0), ("momentum", 1.0), ("eps", 0.0)]
)
def test_illegal_values_are_named(field, value):
    with pytest.raises(InvalidValue, match=field):
        RMSprop(**{**FIELDS, field: value})


def by_hand(weight, gradient, group):
    square, velocity = torch.ones_like(weight), torch.zeros_like(weight)
    for _ in range(2):
        decayed = gradient + group["weight_decay"] * weight
        square = 0.9 * square + 0.1 * decayed**2
        velocity = 0.9 * velocity + 0.02 * group["lr_scale"] * decayed / (square + 1e-3).sqrt()
        weight = weight - velocity
    return weight


def test_two_steps_by_hand(two_weights):
    weights, groups = two_weights
    expected = [by_hand(w.detach().clone(), w.grad.clone(), g) for w, g in zip(weights, groups, strict=True)]
    optimizer = RMSprop(**FIELDS)(groups)
    for _ in range(2):
        optimizer.step()
    for weight, value in zip(weights, expected, strict=True):
        torch.testing.assert_close(weight.detach(), value)
