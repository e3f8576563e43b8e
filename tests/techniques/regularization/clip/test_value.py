import pytest
import torch
from torch import nn

from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.regularization.clip.value import ValueClipping


def parameter_with_gradient(value):
    parameter = nn.Parameter(torch.zeros(len(value)))
    parameter.grad = torch.tensor(value)
    return [parameter, nn.Parameter(torch.zeros(2))]


def test_components_are_clipped_and_the_norm_before_is_reported():
    parameters = parameter_with_gradient([3.0, -4.0, 0.5])
    report = ValueClipping(clip_value=1.0)(parameters)
    torch.testing.assert_close(report["grad_norm"], torch.tensor(25.25).sqrt())
    assert report["clipped"].item() == 1.0
    assert parameters[0].grad.tolist() == [1.0, -1.0, 0.5]


def test_small_components_are_left_alone():
    parameters = parameter_with_gradient([0.9, -0.9])
    assert ValueClipping(clip_value=1.0)(parameters)["clipped"].item() == 0.0
    torch.testing.assert_close(parameters[0].grad, torch.tensor([0.9, -0.9]))


def test_illegal_values_are_named():
    with pytest.raises(InvalidValue, match="clip_value=0"):
        ValueClipping(clip_value=0.0)
