import pytest
import torch
import torchvision

from sota_exp.errors import RunFailed
from sota_exp.models.parts import get_classifier_layer
from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.model.arch.torchvision import TorchvisionNetwork


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "vit_b_32", "squeezenet1_1", "shufflenet_v2_x0_5"])
def test_builds_by_name_with_the_number_of_classes(name):
    with torch.device("meta"):
        model = TorchvisionNetwork(name=name)(7)
    assert get_classifier_layer(model).weight.shape[0] == 7


@pytest.mark.parametrize(("name", "size"), [("googlenet", 64), ("inception_v3", 80)])
def test_networks_with_auxiliary_heads_give_plain_logits(name, size, monkeypatch):
    monkeypatch.setattr(torch.nn.init, "trunc_normal_", lambda tensor, **limits: tensor)
    model = TorchvisionNetwork(name=name)(7).train()
    assert model(torch.randn(2, 3, size, size)).shape == (2, 7)


def test_an_unknown_name_gets_suggestions():
    with pytest.raises(InvalidValue, match="name=resnet51 .*near: .*resnet50"):
        TorchvisionNetwork(name="resnet51")


def test_detection_networks_are_not_classifiers():
    with pytest.raises(InvalidValue, match="classification network"):
        TorchvisionNetwork(name="fasterrcnn_resnet50_fpn")


def test_an_unknown_tag_gets_suggestions():
    with pytest.raises(InvalidValue, match="tag=IMAGENET1K_V3 .*IMAGENET1K_V"):
        TorchvisionNetwork(name="resnet50").load_published("IMAGENET1K_V3")


def test_published_weights_come_with_their_preprocessing(monkeypatch):
    state = torchvision.models.resnet18().state_dict()
    monkeypatch.setattr(torchvision.models.ResNet18_Weights, "get_state_dict", lambda self, **options: state)
    published = TorchvisionNetwork(name="resnet18").load_published("IMAGENET1K_V1")
    assert published.preprocessing.mean == pytest.approx((0.485, 0.456, 0.406))
    assert published.state.keys() == state.keys()
    assert (published.preprocessing.interpolation, len(published.content_hash)) == ("bilinear", 16)
    assert published.evaluated_at == "data.image_size=224 data.crop_ratio=0.875"


def test_weights_that_cannot_be_fetched_are_named_with_what_to_do(monkeypatch):
    def unreachable(self, **options):
        raise OSError("no route to host")

    monkeypatch.setattr(torchvision.models.ResNet34_Weights, "get_state_dict", unreachable)
    with pytest.raises(
        RunFailed, match=r"IMAGENET1K_V1 of torchvision's resnet34 \(no route to host\); .*weights.path=FILE"
    ):
        TorchvisionNetwork(name="resnet34").load_published("IMAGENET1K_V1")
    assert TorchvisionNetwork(name="resnet34").find_preprocessing("").std == pytest.approx((0.229, 0.224, 0.225))
