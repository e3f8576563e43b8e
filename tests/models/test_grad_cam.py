"""Grad-CAM: the heat is that of the formula, and of the last feature map of a network."""

import pytest
import timm
import torch
import torchvision
from torch import nn
from torch.nn import functional
from torchvision.transforms import v2

from sota_exp.errors import ConfigError
from sota_exp.models.grad_cam import HOT, HOT_SHARE, compute_heat, draw_beside, draw_grad_cam, find_feature_layer
from sota_exp.models.saved import SavedModel
from sota_exp.models.small_nets import build_small
from sota_exp.stages.data import Preprocessing
from sota_exp.stages.evaluation import EvaluationView, OneView


@pytest.mark.parametrize("name", ["resnet_xs", "pooled_s"])
def test_the_heat_is_that_of_the_formula(name: str) -> None:
    pytest.importorskip("captum")
    torch.manual_seed(0)
    network = build_small(name, 4, 1.0).eval()
    images, classes = torch.randn(3, 3, 32, 32), torch.tensor([1, 3, 0])
    layer = find_feature_layer(network, images[:1])
    assert layer is network.stages
    feature_map = network.stages(network.stem(images))
    logits = network.fc(network.pool(feature_map).flatten(1))
    (gradient,) = torch.autograd.grad(logits.gather(1, classes[:, None]).sum(), feature_map)
    expected = (gradient.mean((2, 3), keepdim=True) * feature_map).sum(1, keepdim=True).relu()
    expected = functional.interpolate(expected, (32, 32), mode="bilinear")
    assert (expected.amax((1, 2, 3)) > 0).any()
    torch.testing.assert_close(compute_heat(network, layer, images, classes), expected)


def test_images_are_normalized_as_in_evaluation() -> None:
    pytest.importorskip("captum")
    torch.manual_seed(0)
    model = SavedModel(
        network=build_small("resnet_xs", 4, 1.0).eval(),
        classes=tuple("abcd"),
        preprocessing=Preprocessing(mean=(0.5, 0.4, 0.3), std=(0.1, 0.2, 0.3)),
        view=EvaluationView(resize=32, size=32),
        predictor=OneView(),
    )
    images, classes = torch.randint(256, (3, 3, 32, 32), dtype=torch.uint8), torch.tensor([1, 3, 0])
    normalized = v2.functional.normalize(images / 255, (0.5, 0.4, 0.3), (0.1, 0.2, 0.3))
    expected = draw_beside(images, compute_heat(model.network, model.network.stages, normalized, classes))
    found = draw_grad_cam(model, images, classes)
    assert (found.int() - expected.int()).abs().max() <= 1 and not torch.equal(found[..., :32], found[..., 32:])
    assert len(draw_grad_cam(model, images[:0], classes[:0])) == 0


@pytest.mark.parametrize(
    "create, name, layer",
    [
        (torchvision.models.get_model, "resnet18", "layer4"),
        (timm.create_model, "efficientnet_b0", "bn2"),
        (timm.create_model, "test_convnext", "norm_pre"),
    ],
)
def test_the_last_feature_map_is_explained(create, name, layer) -> None:
    with torch.device("meta"):
        network, images = create(name).eval(), torch.empty(1, 3, 64, 64)
    assert find_feature_layer(network, images) is network.get_submodule(layer)


class ChannelsLast(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.permute(0, 2, 3, 1)


@pytest.mark.parametrize(
    "network, shape",
    [
        (timm.create_model("test_vit", img_size=32), "VisionTransformer that has several positions is [1, 5, 64]"),
        (nn.Sequential(nn.Conv2d(3, 8, 3), ChannelsLast(), nn.Flatten()), "positions is [1, 30, 30, 8]"),
        (nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), "positions is none"),
    ],
)
def test_a_network_without_feature_map_is_refused(network: nn.Module, shape: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find_feature_layer(network, torch.zeros(1, 3, 32, 32))
    assert shape in str(caught.value)


def test_the_hottest_place_is_coloured_and_one_without_heat_is_grey() -> None:
    images = torch.full((2, 3, 4, 4), 30, dtype=torch.uint8)
    images[:, 1] = 60
    heat = torch.zeros(2, 1, 4, 4)
    heat[0, 0, 1, 2] = 0.25
    left, right = draw_beside(images, heat).split(4, dim=3)
    assert torch.equal(left, images)
    assert right[0, :, 1, 2].tolist() == [round(40 + HOT_SHARE * (value - 40)) for value in HOT]
    right[0, :, 1, 2] = 40
    assert (right == 40).all()
