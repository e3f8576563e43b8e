import pytest
import torch
from torch import nn

from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.optimizer.muon import Muon

FIELDS = {"lr": 2e-3, "weight_decay": 0.05, "momentum": 0.95}


@pytest.mark.parametrize(("field", "value"), [("lr", 0.0), ("weight_decay", -0.1), ("momentum", 1.0)])
def test_illegal_values_are_named(field, value):
    with pytest.raises(InvalidValue, match=field):
        Muon(**{**FIELDS, field: value})


def test_a_matrix_moves_by_a_nearly_orthogonal_update():
    rng = torch.Generator().manual_seed(1)
    weight = nn.Parameter(torch.randn(64, 32, generator=rng))
    weight.grad = torch.randn(64, 32, generator=rng)
    before = weight.detach().clone()
    Muon(**FIELDS)([{"params": [weight], "weight_decay": 0.0, "lr": 0.1, "lr_scale": 1.0}]).step()
    stretch = torch.linalg.svdvals((before - weight.detach()) / (0.1 * 0.2 * 64**0.5))
    assert stretch.min() > 0.6
    assert stretch.max() < 1.3


def test_a_vector_takes_adams_step():
    rng = torch.Generator().manual_seed(1)
    weight = nn.Parameter(torch.zeros(8))
    weight.grad = torch.randn(8, generator=rng)
    Muon(**FIELDS)([{"params": [weight], "weight_decay": 0.0, "lr": 0.1, "lr_scale": 1.0}]).step()
    assert torch.equal(weight.detach().sign(), -weight.grad.sign())
    assert weight.detach().abs().std() < 0.01 * weight.detach().abs().mean()


def test_trains_a_convolution_kept_in_channels_last():
    rng = torch.Generator().manual_seed(1)
    weight = nn.Parameter(torch.randn(16, 8, 3, 3, generator=rng).to(memory_format=torch.channels_last))
    weight.grad = torch.randn(16, 8, 3, 3, generator=rng)
    before = weight.detach().clone()
    Muon(**FIELDS)([{"params": [weight], "weight_decay": 0.0, "lr": 0.1, "lr_scale": 1.0}]).step()
    assert ((before - weight.detach()) * weight.grad).sum() > 0
