import copy

import pytest
import timm
import torch
from torch import nn

from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.model.arch.small import SmallNetwork
from sota_exp.techniques.regularization.norm.group import GroupNormalization


def test_agrees_with_group_norm_and_keeps_scale_and_shift():
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(8)
    norm.weight.data.normal_()
    norm.bias.data.normal_()
    model = GroupNormalization(num_groups=4)(nn.Sequential(norm))
    x = torch.randn(3, 8, 5, 5)
    torch.testing.assert_close(model(x), nn.functional.group_norm(x, 4, norm.weight, norm.bias))


def test_channels_that_the_number_does_not_divide_get_fewer_groups():
    model = GroupNormalization(num_groups=32)(nn.Sequential(nn.BatchNorm2d(24), nn.BatchNorm2d(64)))
    assert [layer.num_groups for layer in model] == [8, 32]


def test_a_sample_does_not_see_its_batch():
    torch.manual_seed(0)
    model = GroupNormalization(num_groups=8)(SmallNetwork(name="resnet_s", width_multiplier=0.5)(5)).train()
    images = torch.randn(6, 3, 32, 32)
    torch.testing.assert_close(model(images)[:1], model(images[:1]))


def test_timms_fused_activation_stays():
    plain = timm.create_model("tf_efficientnet_lite0", num_classes=5)
    model = GroupNormalization(num_groups=8)(copy.deepcopy(plain))
    output = model.bn1(torch.randn(2, 32, 4, 4))
    assert output.min() == 0
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())


def test_illegal_values_are_named():
    with pytest.raises(InvalidValue, match="num_groups=0"):
        GroupNormalization(num_groups=0)
