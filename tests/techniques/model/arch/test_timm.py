import pytest
import timm
import torch
from huggingface_hub import constants

from sota_exp.errors import RunFailed
from sota_exp.models import zoo
from sota_exp.models.parts import get_classifier_layer
from sota_exp.stages.data import Preprocessing
from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.model.arch.timm import TimmNetwork


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto", "tf_efficientnet_lite0"])
def test_builds_by_name_with_the_number_of_classes(name):
    with torch.device("meta"):
        model = TimmNetwork(name=name, img_size=None)(7)
    assert get_classifier_layer(model).weight.shape[0] == 7


def test_a_transformer_is_built_for_its_image_size():
    model = TimmNetwork(name="vit_tiny_patch16_224", img_size=48)(7).eval()
    assert model(torch.randn(2, 3, 48, 48)).shape == (2, 7)


def test_an_unknown_name_gets_suggestions():
    with pytest.raises(InvalidValue, match="name=convnext_tinny .*near: .*convnext_tiny"):
        TimmNetwork(name="convnext_tinny", img_size=None)


def test_an_unknown_tag_gets_suggestions():
    with pytest.raises(InvalidValue, match="tag=a1_in2k .*near: .*a1_in1k"):
        TimmNetwork(name="resnet50", img_size=None).load_published("a1_in2k")


@pytest.mark.parametrize(("responds", "reason"), [(True, "no route to host"), (False, "https://.* does not respond")])
def test_weights_that_cannot_be_fetched_are_named_with_what_to_do(monkeypatch, responds, reason):
    def unreachable(name, **options):
        assert responds != constants.HF_HUB_OFFLINE  # or else it would be asked again for a minute
        raise OSError("no route to host")

    monkeypatch.setattr(zoo, "does_hub_respond", lambda: responds)
    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(
        RunFailed, match=rf"resnet18.a1_in1k of timm \({reason}\); .*model/weights=scratch .*model/weights=checkpoint"
    ) as told:
        TimmNetwork(name="resnet18", img_size=None).load_published("a1_in1k")
    assert "distillation" not in str(told.value)
    assert not constants.HF_HUB_OFFLINE
    found = TimmNetwork(name="tf_efficientnet_lite0", img_size=None).find_preprocessing("")
    assert found == Preprocessing(mean=(0.5,) * 3, std=(0.5,) * 3, interpolation="bicubic")


def test_published_weights_come_with_their_preprocessing(monkeypatch):
    build = timm.create_model
    monkeypatch.setattr(zoo, "does_hub_respond", lambda: True)
    monkeypatch.setattr(timm, "create_model", lambda name, **options: build(name, pretrained=False))
    published = TimmNetwork(name="tf_efficientnet_lite0", img_size=None).load_published("")
    assert published.preprocessing == Preprocessing(mean=(0.5,) * 3, std=(0.5,) * 3, interpolation="bicubic")
    assert published.evaluated_at == "data.image_size=224 data.crop_ratio=0.875"
    assert published.state["classifier.weight"].shape[0] == 1000


def test_illegal_values_are_named():
    with pytest.raises(InvalidValue, match="img_size=4"):
        TimmNetwork(name="resnet18", img_size=4)
