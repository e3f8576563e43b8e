import pytest
import torch
from torch import nn

from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.model.arch.small import SmallNetwork
from sota_exp.techniques.model.tuning.gradual import GradualTuning
from sota_exp.techniques.regularization.weight_decay.weights_only import WeightDecayOnWeights

GRADUAL = GradualTuning(fraction=0.5, head_lr_scale=10.0)


def small():
    torch.manual_seed(0)
    return SmallNetwork(name="resnet_xs", width_multiplier=0.5)(5)


def test_every_parameter_is_in_one_group_and_the_heads_learn_faster():
    model = small()
    groups = GRADUAL.groups(model, WeightDecayOnWeights(exempt="norm")(model, 0.1))
    grouped = [id(p) for group in groups for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters())
    assert [(group["weight_decay"], group["lr_scale"]) for group in groups] == [(0.1, 1.0), (0.0, 1.0), (0.1, 10.0)]
    assert [id(p) for p in groups[-1]["params"]] == [id(model.fc.weight), id(model.fc.bias)]


def test_trains_the_head_first_then_all_parameters():
    model = small()
    groups = GRADUAL.groups(model, [{"params": list(model.parameters()), "weight_decay": 0.0}])
    optimizer = torch.optim.SGD(groups, lr=0.1)
    changed = []
    for progress in (0.0, 0.49, 0.5, 0.75):
        before = {name: value.clone() for name, value in model.state_dict().items()}
        GRADUAL(model, progress)
        nn.functional.cross_entropy(model(torch.randn(8, 3, 32, 32)), torch.arange(8) % 5).backward()
        optimizer.step()
        optimizer.zero_grad()
        changed.append({name for name, value in model.state_dict().items() if not torch.equal(value, before[name])})
    assert changed[0] == changed[1] == {"fc.weight", "fc.bias"}
    assert changed[2] == changed[3] == set(model.state_dict())


def test_grouping_after_freezing_is_caught():
    model = small()
    GRADUAL(model, 0.0)
    with pytest.raises(AssertionError, match="grouped after freezing"):
        GRADUAL.groups(model, WeightDecayOnWeights(exempt="norm")(model, 0.1))


@pytest.mark.parametrize(("field", "value"), [("fraction", 1.0), ("fraction", -0.1), ("head_lr_scale", 0.0)])
def test_illegal_values_are_named(field, value):
    with pytest.raises(InvalidValue, match=field):
        GradualTuning(**{"fraction": 0.5, "head_lr_scale": 1.0, field: value})
