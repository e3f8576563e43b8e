import pytest
import torch
import torchvision
from torch import nn

from sota_exp.models.parts import find_residual_blocks, get_last_norm
from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.model.arch.small import SmallNetwork
from sota_exp.techniques.regularization.norm.batch import BatchNormalization


def small():
    torch.manual_seed(0)
    return SmallNetwork(name="resnet_s", width_multiplier=0.5)(5)


def test_null_keeps_the_network_bit_for_bit():
    model, plain = BatchNormalization(momentum=None, eps=None, zero_init_last_gamma=False)(small()), small()
    images = torch.randn(4, 3, 32, 32)
    assert torch.equal(model(images), plain(images))


def test_momentum_and_epsilon_reach_every_layer():
    model = BatchNormalization(momentum=0.03, eps=1e-3, zero_init_last_gamma=False)(small())
    layers = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert {(layer.momentum, layer.eps) for layer in layers} == {(0.03, 1e-3)}


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_zero_init_starts_every_branch_at_zero(name):
    model = torchvision.models.get_model(name, num_classes=5)
    BatchNormalization(momentum=None, eps=None, zero_init_last_gamma=True)(model)
    assert all(get_last_norm(block).weight.abs().sum() == 0 for block in find_residual_blocks(model))
    assert (model.bn1.weight == 1).all()


def test_zero_init_skips_a_trained_network():
    model = small().train()
    model(torch.randn(4, 3, 32, 32))
    BatchNormalization(momentum=None, eps=None, zero_init_last_gamma=True)(model)
    assert all((get_last_norm(block).weight == 1).all() for block in find_residual_blocks(model))


@pytest.mark.parametrize(("field", "value"), [("momentum", 0.0), ("momentum", 1.5), ("eps", 0.0)])
def test_illegal_values_are_named(field, value):
    with pytest.raises(InvalidValue, match=field):
        BatchNormalization(**{"momentum": None, "eps": None, "zero_init_last_gamma": False, field: value})
