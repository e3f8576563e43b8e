import pytest
import timm
import torch
import torchvision
from torch import nn

from sota_exp.errors import ConfigError
from sota_exp.models.parts import (
    find_classifier_name,
    find_head_dropouts,
    find_norm_layers,
    find_residual_blocks,
    freeze_all_but_classifier,
    get_classifier_layer,
    get_last_norm,
    is_untrained,
    zero_init_last_gamma,
)
from sota_exp.techniques.model.arch.small import SmallNetwork
from tests.rows import each_row

NUM_CLASSES = 37


def on_meta(library, name):
    with torch.device("meta"):
        if library == "timm":
            return timm.create_model(name, num_classes=NUM_CLASSES)
        extra = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        return torchvision.models.get_model(name, num_classes=NUM_CLASSES, **extra)


@each_row(
    "library, name, expected",
    [
        ("torchvision", "resnet18", "fc"),
        ("torchvision", "vgg11", "classifier.6"),
        ("torchvision", "mobilenet_v3_small", "classifier.3"),
        ("torchvision", "efficientnet_b0", "classifier.1"),
        ("torchvision", "convnext_tiny", "classifier.2"),
        ("torchvision", "vit_b_16", "heads.head"),
        ("torchvision", "swin_t", "head"),
        ("torchvision", "densenet121", "classifier"),
        ("torchvision", "squeezenet1_1", "classifier.1"),
        ("torchvision", "maxvit_t", "classifier.5"),
        ("torchvision", "googlenet", "fc"),
        ("timm", "resnet18", "fc"),
        ("timm", "convnext_atto", "head.fc"),
        ("timm", "vit_tiny_patch16_224", "head"),
        ("timm", "tf_efficientnet_lite0", "classifier"),
        ("timm", "resnetv2_50x1_bit", "head.fc"),
    ],
)
def test_classifier_is_the_layer_with_the_logits(library, name, expected):
    model = on_meta(library, name)
    assert find_classifier_name(model) == expected
    assert get_classifier_layer(model).weight.shape[0] == NUM_CLASSES


@pytest.mark.parametrize("name", ["deit_tiny_distilled_patch16_224", "levit_128s"])
def test_two_classifiers_are_refused(name):
    with pytest.raises(ConfigError, match="several classifiers"):
        find_classifier_name(on_meta("timm", name))


def test_no_classifier_is_refused():
    with pytest.raises(ConfigError, match="no classifier layer"):
        find_classifier_name(nn.Sequential(nn.Flatten()))


@pytest.mark.parametrize(
    ("library", "name", "count"),
    [
        ("torchvision", "resnet18", 20),
        ("torchvision", "vit_b_16", 25),
        ("timm", "vit_tiny_patch16_224", 25),
        ("timm", "convnext_atto", 17),
        ("timm", "tf_efficientnet_lite0", 49),
    ],
)
def test_norm_layers_are_all_found(library, name, count):
    assert len(list(find_norm_layers(on_meta(library, name)))) == count


@pytest.mark.parametrize("library", ["torchvision", "timm"])
@pytest.mark.parametrize(("name", "last"), [("resnet18", "bn2"), ("resnet50", "bn3")])
def test_residual_blocks_come_in_depth_order(library, name, last):
    model = on_meta(library, name)
    blocks = [block for stage in (model.layer1, model.layer2, model.layer3, model.layer4) for block in stage]
    assert find_residual_blocks(model) == blocks
    assert [get_last_norm(block) for block in blocks] == [block.get_submodule(last) for block in blocks]


def test_head_dropout_is_found_only_beside_the_classifier():
    assert len(find_head_dropouts(on_meta("torchvision", "efficientnet_b0"))) == 1
    assert len(find_head_dropouts(on_meta("torchvision", "vgg11"))) == 1
    assert len(find_head_dropouts(on_meta("timm", "vit_tiny_patch16_224"))) == 1
    assert find_head_dropouts(on_meta("torchvision", "resnet18")) == []


def test_a_frozen_network_is_in_eval_mode_except_its_head():
    model = torchvision.models.mobilenet_v3_small(num_classes=5)
    freeze_all_but_classifier(model)
    training = {name for name, module in model.named_modules() if module.training}
    assert training == {"classifier.2", "classifier.3"}
    assert {name for name, p in model.named_parameters() if p.requires_grad} == {
        "classifier.3.weight",
        "classifier.3.bias",
    }


def test_zeroed_last_gamma_leaves_only_the_shortcut():
    model = SmallNetwork(name="resnet_l", width_multiplier=0.5)(5)
    zero_init_last_gamma(model)
    block = find_residual_blocks(model)[1]
    x = torch.randn(4, model.stages[0][1].conv1.in_channels, 6, 6)
    torch.testing.assert_close(block(x), x.relu())


def test_one_step_of_running_statistics_marks_a_trained_network():
    model = SmallNetwork(name="resnet_xs", width_multiplier=0.5)(5)
    assert is_untrained(model)
    model.train()(torch.randn(4, 3, 32, 32))
    assert not is_untrained(model)
