import pytest
import torch

from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.optimizer.adamw import AdamW

FIELDS = {"lr": 1e-3, "weight_decay": 0.05, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8}


@pytest.mark.parametrize(
    ("field", "value"), [("lr", 0.0), ("weight_decay", -0.1), ("beta1", 1.0), ("beta2", -0.1), ("eps", 0.0)]
)
def test_illegal_values_are_named(field, value):
    with pytest.raises(InvalidValue, match=field):
        AdamW(**{**FIELDS, field: value})


def by_hand(weight, gradient, group):
    first, second = torch.zeros_like(weight), torch.zeros_like(weight)
    for step in (1, 2):
        decayed = gradient
        first, second = 0.9 * first + 0.1 * decayed, 0.99 * second + 0.01 * decayed**2
        unbiased = (first / (1 - 0.9**step)) / ((second / (1 - 0.99**step)).sqrt() + 1e-8)
        weight = (
            weight - 0.02 * group["lr_scale"] * group["weight_decay"] * weight - 0.02 * group["lr_scale"] * unbiased
        )
    return weight


def test_two_steps_by_hand(two_weights):
    weights, groups = two_weights
    expected = [by_hand(w.detach().clone(), w.grad.clone(), g) for w, g in zip(weights, groups, strict=True)]
    optimizer = AdamW(**FIELDS)(groups)
    for _ in range(2):
        optimizer.step()
    for weight, value in zip(weights, expected, strict=True):
        torch.testing.assert_close(weight.detach(), value)
