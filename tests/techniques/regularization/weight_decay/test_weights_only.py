import itertools

import pytest
import timm
import torch
import torchvision
from timm.optim import param_groups_weight_decay

from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.model.arch.small import SmallNetwork
from sota_exp.techniques.regularization.weight_decay.weights_only import EXEMPT_RULES, WeightDecayOnWeights
from tests.rows import each_row


def build(name):
    if name == "small":
        return SmallNetwork(name="resnet_s", width_multiplier=1.0)(10)
    with torch.device("meta"):
        return timm.create_model(name) if name.startswith("vit") else torchvision.models.get_model(name)


def spared_names(model, groups):
    names = {id(p): name for name, p in model.named_parameters()}
    return {names[id(p)] for group in groups if group["weight_decay"] == 0 for p in group["params"]}


@each_row(
    "exempt, name",
    itertools.product(EXEMPT_RULES, ["resnet50", "vit_tiny_patch16_224", "swin_t", "convnext_tiny", "small"]),
)
def test_every_parameter_is_in_exactly_one_group(name, exempt):
    model = build(name)
    groups = WeightDecayOnWeights(exempt=exempt)(model, 2e-5)
    grouped = [id(p) for group in groups for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters())
    assert sorted(group["weight_decay"] for group in groups) == [0.0, 2e-5]


def test_on_resnet50_only_the_classifiers_bias_differs_from_timm():
    model = build("resnet50")
    mine = spared_names(model, WeightDecayOnWeights(exempt="norm")(model, 2e-5))
    theirs = spared_names(model, param_groups_weight_decay(model, 2e-5))
    assert theirs - mine == {"fc.bias"}
    assert mine - theirs == set()


@pytest.mark.parametrize("name", ["resnet50", "vit_tiny_patch16_224"])
def test_one_dimensional_is_timms_rule(name):
    model = build(name)
    asked = model.no_weight_decay() if name.startswith("vit") else ()
    theirs = spared_names(model, param_groups_weight_decay(model, 2e-5, no_weight_decay_list=asked))
    assert spared_names(model, WeightDecayOnWeights(exempt="one_dimensional")(model, 2e-5)) == theirs


@pytest.mark.parametrize("name", ["resnet50", "swin_t", "convnext_tiny", "mobilenet_v3_small"])
def test_norm_goes_by_module_class_as_in_torchvisions_reference(name):
    model = build(name)
    classes = (torch.nn.modules.batchnorm._BatchNorm, torch.nn.LayerNorm, torch.nn.GroupNorm)
    expected = {
        f"{layer}.{own}"
        for layer, module in model.named_modules()
        if isinstance(module, classes)
        for own, _ in module.named_parameters()
    }
    assert spared_names(model, WeightDecayOnWeights(exempt="norm")(model, 2e-5)) == expected


def test_norm_and_bias_exempts_norms_and_all_biases():
    model = build("vit_tiny_patch16_224")
    norm = spared_names(model, WeightDecayOnWeights(exempt="norm")(model, 2e-5))
    both = spared_names(model, WeightDecayOnWeights(exempt="norm_and_bias")(model, 2e-5))
    assert both == norm | {name for name, _ in model.named_parameters() if name.endswith(".bias")}


def test_frozen_parameters_are_left_out():
    model = build("small")
    model.requires_grad_(False)
    model.fc.requires_grad_(True)
    (group,) = WeightDecayOnWeights(exempt="norm")(model, 2e-5)
    assert [id(p) for p in group["params"]] == [id(model.fc.weight), id(model.fc.bias)]


def test_another_rule_is_refused():
    with pytest.raises(InvalidValue, match="exempt=bias"):
        WeightDecayOnWeights(exempt="bias")
