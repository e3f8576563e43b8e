import copy

import pytest
import timm
import torch
import torchvision
from timm.layers import DropPath
from torchvision.ops import StochasticDepth

from sota_exp.models.parts import find_residual_blocks
from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.model.arch.small import SmallNetwork
from sota_exp.techniques.regularization.stochastic_depth.linear import LinearStochasticDepth, compute_drop_rates


def build(library, name):
    if library == "timm":
        return timm.create_model(name, num_classes=5)
    if library == "torchvision":
        return torchvision.models.get_model(name, num_classes=5)
    return SmallNetwork(name=name, width_multiplier=0.5)(5)


def lone_block(library, name):
    """The last block of a network, with its branch dropped at 0.5."""
    model = LinearStochasticDepth(drop_path_rate=0.5, rates="paper")(build(library, name))
    block = find_residual_blocks(model)[-1]
    block.train()
    for module in block.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.fill_(1)  # timm starts the last one at zero
    return block


def test_rates_rise_linearly_to_the_last_block():
    assert compute_drop_rates(0.2, 4) == pytest.approx([0.05, 0.1, 0.15, 0.2])


@pytest.mark.parametrize(
    ("library", "name"),
    [("torchvision", "resnet18"), ("torchvision", "resnet50"), ("timm", "resnet18"), ("ours", "resnet_l")],
)
def test_each_sample_keeps_the_shortcut_and_drops_or_doubles_the_branch(library, name):
    block = lone_block(library, name)
    x = torch.randn(64, block.conv1.in_channels, 3, 3)
    branch = {}
    last = block.get_submodule("bn3" if name == "resnet50" else "bn2")
    last.register_forward_hook(lambda module, inputs, output: branch.update(end=inputs[0]))
    torch.manual_seed(0)
    output = block(x)
    full = torch.nn.functional.batch_norm(branch["end"], None, None, last.weight, last.bias, training=True)
    dropped, doubled = x.relu(), (x + 2 * full).relu()
    was_dropped = (output - dropped).flatten(1).abs().amax(1) < 1e-4
    was_doubled = (output - doubled).flatten(1).abs().amax(1) < 1e-4
    assert (was_dropped ^ was_doubled).all()
    assert 16 < was_dropped.sum() < 48


@pytest.mark.parametrize(("library", "name"), [("torchvision", "resnet18"), ("timm", "resnet18"), ("ours", "resnet_s")])
def test_evaluation_runs_everything_and_keys_stay(library, name):
    torch.manual_seed(0)
    plain = build(library, name)
    dropping = LinearStochasticDepth(drop_path_rate=0.9, rates="paper")(copy.deepcopy(plain))
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(dropping.eval()(images), plain.eval()(images))
    assert list(dropping.state_dict()) == list(plain.state_dict())


def test_branches_keep_their_expectation():
    branch = torch.ones(20_000, 1, 1, 1)
    model = LinearStochasticDepth(drop_path_rate=0.4, rates="paper")(build("ours", "resnet_s")).train()
    norm = find_residual_blocks(model)[-1].bn2
    (hook,) = norm._forward_hooks.values()
    torch.manual_seed(0)
    survived = hook(norm, (branch,), branch)
    assert survived.mean().item() == pytest.approx(1.0, abs=0.02)
    assert (survived == 0).float().mean().item() == pytest.approx(0.4, abs=0.02)


def test_a_copy_in_evaluation_mode_does_not_drop_while_the_original_trains():
    model = LinearStochasticDepth(drop_path_rate=0.9, rates="paper")(build("ours", "resnet_m")).train()
    averaged, images = copy.deepcopy(model).eval(), torch.randn(4, 3, 32, 32)
    assert torch.equal(averaged(images), averaged(images))


@pytest.mark.parametrize(
    ("library", "name", "kind", "num_blocks"),
    [
        ("timm", "vit_tiny_patch16_224", DropPath, 12),
        ("timm", "convnext_atto", DropPath, 12),
        ("timm", "resnet18", DropPath, 8),
        ("timm", "rexnet_100", DropPath, 16),
        ("timm", "skresnet18", DropPath, 8),
        ("timm", "res2net50_26w_4s", DropPath, 16),
        ("timm", "ese_vovnet19b_dw", DropPath, 4),
        ("torchvision", "convnext_tiny", StochasticDepth, 18),
        ("torchvision", "swin_t", StochasticDepth, 12),
    ],
)
def test_networks_with_their_own_drop_layers_get_rates_by_block(library, name, kind, num_blocks):
    with torch.device("meta"):
        model = LinearStochasticDepth(drop_path_rate=0.12, rates="paper")(build(library, name))
    found = [module for module in model.modules() if isinstance(module, kind)]
    rates = [module.drop_prob if kind is DropPath else module.p for module in found]
    assert sorted(set(rates)) == pytest.approx(compute_drop_rates(0.12, num_blocks))
    assert rates == sorted(rates)


@pytest.mark.parametrize(
    "name", ["rexnet_100", "res2net50_26w_4s", "nextvit_small", "xception41p", "vit_tiny_patch16_224"]
)
def test_drops_wherever_timm_itself_would(name):
    with torch.device("meta"):
        ours = LinearStochasticDepth(drop_path_rate=0.12, rates="paper")(build("timm", name))
        theirs = timm.create_model(name, num_classes=5, drop_path_rate=0.12)
    places = [{n for n, m in model.named_modules() if isinstance(m, DropPath)} for model in (ours, theirs)]
    assert places[1] and places[1] <= places[0]


def test_a_network_without_branches_is_refused():
    with pytest.raises(InvalidValue, match="no residual branch"):
        LinearStochasticDepth(drop_path_rate=0.1, rates="paper")(build("torchvision", "squeezenet1_1"))


@pytest.mark.parametrize("value", [-0.1, 1.0])
def test_illegal_values_are_named(value):
    with pytest.raises(InvalidValue, match="drop_path_rate"):
        LinearStochasticDepth(drop_path_rate=value, rates="paper")


@pytest.mark.parametrize(
    ("rates", "library", "name", "argument"),
    [
        ("timm", "timm", "resnet18", {"drop_path_rate": 0.12}),
        ("timm", "timm", "convnext_atto", {"drop_path_rate": 0.12}),
        ("torchvision", "torchvision", "efficientnet_b0", {"stochastic_depth_prob": 0.12}),
    ],
)
def test_rates_by_each_rule_are_those_of_its_source(rates, library, name, argument):
    with torch.device("meta"):
        ours = LinearStochasticDepth(drop_path_rate=0.12, rates=rates)(build(library, name))
        create = timm.create_model if library == "timm" else torchvision.models.get_model
        theirs = create(name, num_classes=5, **argument)

    def found(model):
        drops = {n: m for n, m in model.named_modules() if isinstance(m, DropPath | StochasticDepth)}
        values = {n: m.drop_prob if isinstance(m, DropPath) else m.p for n, m in drops.items()}
        return {name: value for name, value in values.items() if value > 0}

    assert found(theirs) and found(ours) == pytest.approx(found(theirs))
