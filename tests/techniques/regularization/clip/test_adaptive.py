import pytest
import torch
import torchvision
from torch import nn

from sota_exp.models.parts import get_classifier_layer
from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.model.arch.small import SmallNetwork
from sota_exp.techniques.regularization.clip.adaptive import AdaptiveClipping, exclude_classifier

CLIP = {"clip_factor": 0.1, "eps": 1e-3, "exclude_classifier": False}


def with_gradients(model, scale):
    rng = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.grad = scale * torch.randn(parameter.shape, generator=rng)
    return list(model.parameters())


def test_formula_unit_by_unit():
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 4, 2)
    layer.weight.data[1] = 0
    parameters = with_gradients(layer, 1.0)
    parameters[0].grad[2] = 1e-4
    before = [p.grad.clone() for p in parameters]
    AdaptiveClipping(**CLIP)(parameters)
    for unit in range(4):
        limit = 0.1 * max(layer.weight[unit].norm().item(), 1e-3)
        scale = min(1.0, limit / before[0][unit].norm().item())
        torch.testing.assert_close(layer.weight.grad[unit], before[0][unit] * scale)
    scale = min(1.0, 0.1 * layer.bias.norm().item() / before[1].norm().item())
    torch.testing.assert_close(layer.bias.grad, before[1] * scale)


def test_reports_the_norm_before_and_whether_anything_was_clipped():
    layer = nn.Linear(4, 4)
    parameters = with_gradients(layer, 10.0)
    before = torch.cat([p.grad.flatten() for p in parameters]).norm()
    report = AdaptiveClipping(**CLIP)(parameters)
    torch.testing.assert_close(report["grad_norm"], before)
    assert report["clipped"].item() == 1.0
    assert AdaptiveClipping(**CLIP)(with_gradients(layer, 1e-6))["clipped"].item() == 0.0


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "swin_t", "small"])
def test_the_classifier_is_found_by_its_place(name):
    with torch.device("meta"):
        ours = SmallNetwork(name="resnet_s", width_multiplier=1.0)
        model = ours(7) if name == "small" else torchvision.models.get_model(name, num_classes=7)
    everything = list(model.parameters())
    left_out = {id(p) for p in everything} - {id(p) for p in exclude_classifier(everything)}
    assert left_out == {id(p) for p in get_classifier_layer(model).parameters()}


def test_the_classifier_is_not_clipped_when_excluded():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    parameters = with_gradients(model, 10.0)
    before = [p.grad.clone() for p in parameters]
    report = AdaptiveClipping(**{**CLIP, "exclude_classifier": True})(parameters)
    torch.testing.assert_close(report["grad_norm"], torch.cat([b.flatten() for b in before]).norm())
    assert [torch.equal(p.grad, b) for p, b in zip(parameters, before, strict=True)] == [False, False, True, True]


@pytest.mark.parametrize("field", ["clip_factor", "eps"])
def test_illegal_values_are_named(field):
    with pytest.raises(InvalidValue, match=field):
        AdaptiveClipping(**{**CLIP, field: 0.0})
