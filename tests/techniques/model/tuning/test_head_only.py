import torch
from torch import nn

from sota_exp.techniques.model.arch.small import SmallNetwork
from sota_exp.techniques.model.tuning.head_only import HeadOnlyTuning
from sota_exp.techniques.regularization.weight_decay.weights_only import WeightDecayOnWeights


def small():
    torch.manual_seed(0)
    return SmallNetwork(name="resnet_xs", width_multiplier=0.5)(5)


def test_only_the_head_is_in_the_optimizer_groups():
    model = small()
    groups = HeadOnlyTuning().groups(model, WeightDecayOnWeights(exempt="norm_and_bias")(model, 0.1))
    assert [(group["weight_decay"], group["lr_scale"]) for group in groups] == [(0.1, 1.0), (0.0, 1.0)]
    assert [id(p) for group in groups for p in group["params"]] == [id(model.fc.weight), id(model.fc.bias)]


def test_groups_are_the_same_before_and_after_freezing():
    model, frozen = small(), small()
    HeadOnlyTuning()(frozen, 0.0)
    sizes = [
        [
            [p.shape for p in group["params"]]
            for group in HeadOnlyTuning().groups(m, WeightDecayOnWeights(exempt="norm")(m, 0.1))
        ]
        for m in (model, frozen)
    ]
    assert sizes[0] == sizes[1]


def test_training_moves_neither_weights_nor_statistics_below_the_head():
    model = small()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.SGD(HeadOnlyTuning().groups(model, [{"params": list(model.parameters())}]), lr=0.1)
    for step in range(3):
        HeadOnlyTuning()(model, step / 3)
        nn.functional.cross_entropy(model(torch.randn(8, 3, 32, 32)), torch.arange(8) % 5).backward()
        optimizer.step()
        optimizer.zero_grad()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"fc.weight", "fc.bias"}
