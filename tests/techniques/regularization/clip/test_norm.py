import pytest
import torch
from torch import nn

from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.regularization.clip.norm import NormClipping


def parameters_with_gradient(*values):
    parameters = [nn.Parameter(torch.zeros(len(value))) for value in values]
    for parameter, value in zip(parameters, values, strict=True):
        parameter.grad = torch.tensor(value)
    return parameters


def test_a_long_gradient_keeps_its_direction_and_is_reported_at_full_length():
    parameters = parameters_with_gradient([3.0, 0.0], [4.0])
    report = NormClipping(max_norm=1.0)(parameters)
    torch.testing.assert_close(report["grad_norm"], torch.tensor(5.0))
    assert report["clipped"].item() == 1.0
    torch.testing.assert_close(torch.cat([p.grad for p in parameters]), torch.tensor([0.6, 0.0, 0.8]))


def test_a_short_gradient_is_left_alone():
    parameters = parameters_with_gradient([0.3, 0.0], [0.4])
    report = NormClipping(max_norm=1.0)(parameters)
    assert report["clipped"].item() == 0.0
    torch.testing.assert_close(torch.cat([p.grad for p in parameters]), torch.tensor([0.3, 0.0, 0.4]))


def test_frozen_parameters_do_not_count():
    parameters = [*parameters_with_gradient([3.0, 4.0]), nn.Parameter(torch.zeros(3))]
    torch.testing.assert_close(NormClipping(max_norm=1.0)(parameters)["grad_norm"], torch.tensor(5.0))


def test_illegal_values_are_named():
    with pytest.raises(InvalidValue, match="max_norm=0"):
        NormClipping(max_norm=0.0)
