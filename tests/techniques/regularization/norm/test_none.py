import copy

import timm
import torch
import torchvision
from torch import nn

from sota_exp.models.parts import ChannelAffine, find_norm_layers, find_residual_blocks, get_last_norm
from sota_exp.techniques.model.arch.small import SmallNetwork
from sota_exp.techniques.regularization.norm.none import NoNormalization


def test_a_trained_network_computes_what_it_did_in_evaluation():
    torch.manual_seed(0)
    trained = SmallNetwork(name="resnet_s", width_multiplier=0.5)(5)
    for _ in range(3):
        trained(torch.randn(8, 3, 32, 32) + 1)
    model, images = NoNormalization(zero_init_last_gamma=True)(copy.deepcopy(trained)), torch.randn(4, 3, 32, 32)
    torch.testing.assert_close(model.train()(images), trained.eval()(images), rtol=1e-4, atol=1e-5)


def test_no_batch_norm_is_left_and_the_same_parameters_learn():
    plain = SmallNetwork(name="resnet_s", width_multiplier=0.5)(5)
    model = NoNormalization(zero_init_last_gamma=False)(copy.deepcopy(plain))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    assert all(isinstance(layer, ChannelAffine) for _, layer in find_norm_layers(model))
    shapes = {name: p.shape for name, p in plain.named_parameters()}
    assert {name: p.shape for name, p in model.named_parameters()} == shapes


def test_an_untrained_deep_network_starts_with_its_branches_off_and_stays_finite():
    torch.manual_seed(0)
    model = NoNormalization(zero_init_last_gamma=True)(torchvision.models.resnet50(num_classes=5))
    assert all(get_last_norm(block).weight.abs().sum() == 0 for block in find_residual_blocks(model))
    assert model(torch.randn(2, 3, 32, 32)).abs().max() < 1e3


def test_timms_fused_activation_stays():
    torch.manual_seed(0)
    plain = timm.create_model("tf_efficientnet_lite0", num_classes=5).eval()
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(NoNormalization(zero_init_last_gamma=True)(copy.deepcopy(plain))(images), plain(images))
