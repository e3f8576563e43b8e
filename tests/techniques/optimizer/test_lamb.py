import pytest
import torch
from torch import nn

from sota_exp.stages.optimizer import NoDecay, ParameterGroups
from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.optimizer.lamb import Lamb
from sota_exp.techniques.regularization.weight_decay.everywhere import WeightDecayEverywhere
from sota_exp.techniques.regularization.weight_decay.weights_only import WeightDecayOnWeights

FIELDS = {"lr": 5e-3, "weight_decay": 0.02, "beta1": 0.9, "beta2": 0.99, "eps": 1e-6}


@pytest.mark.parametrize(
    ("field", "value"), [("lr", 0.0), ("weight_decay", -0.1), ("beta1", 1.0), ("beta2", -0.1), ("eps", 0.0)]
)
def test_illegal_values_are_named(field, value):
    with pytest.raises(InvalidValue, match=field):
        Lamb(**{**FIELDS, field: value})


@pytest.mark.parametrize("decay", [0.1, 0.0])
def test_a_matrix_moves_by_lr_times_its_own_norm_decayed_or_not(decay, two_weights):
    weights, groups = two_weights
    groups[0]["weight_decay"] = decay
    before = weights[0].detach().clone()
    Lamb(**FIELDS)(groups).step()
    torch.testing.assert_close((weights[0].detach() - before).norm(), 0.02 * before.norm())


def test_a_vector_that_does_not_decay_takes_adams_step(two_weights):
    """The first step changes every component by lr, so a bias of zero can grow."""
    weights, groups = two_weights
    weights[1].data.zero_()
    Lamb(**FIELDS)(groups).step()
    torch.testing.assert_close(weights[1].detach().abs(), torch.full((4,), 0.2), rtol=1e-4, atol=0)


def test_gradients_are_not_clipped_by_default(two_weights):
    moved = []
    for scale in (1.0, 1000.0):
        weights, groups = two_weights
        optimizer = Lamb(**FIELDS)(groups)
        optimizer.step()
        weights[0].grad.mul_(scale)
        weights[1].grad.mul_(scale)
        optimizer.step()
        moved.append(optimizer.state[weights[0]]["exp_avg"].norm().item())
    assert moved[1] > 100 * moved[0]


@pytest.mark.parametrize(
    ("rule", "decay"),
    [
        (NoDecay(), 0.02),
        (WeightDecayEverywhere(), 0.0),
        (WeightDecayOnWeights(exempt="norm"), 0.0),
        (WeightDecayOnWeights(exempt="one_dimensional"), 0.02),
    ],
)
def test_biases_without_weight_decay_take_adams_step_whatever_else_is_in_their_group(
    rule: ParameterGroups, decay: float
) -> None:
    """Adam's first steps under a constant gradient are lr each; a bias rescaled to its norm would hardly grow from 0."""
    model = WithToken()
    groups = [{**group, "lr_scale": 1.0, "lr": 0.01} for group in rule(model, decay)]
    optimizer = Lamb(**FIELDS)(groups)
    for _ in range(30):
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        before = model.token.detach().clone()
        optimizer.step()
    torch.testing.assert_close(model.layer.bias.detach(), torch.full((4,), -0.3), rtol=1e-3, atol=0)
    torch.testing.assert_close((model.token.detach() - before).norm(), 0.01 * before.norm())
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 3


class WithToken(nn.Module):
    """A layer, and a token of two dimensions that `no_weight_decay` lists, as in transformers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.token = nn.Linear(3, 4), nn.Parameter(torch.rand(1, 4) + 1)
        nn.init.zeros_(self.layer.bias)

    def no_weight_decay(self) -> set[str]:
        return {"token"}
