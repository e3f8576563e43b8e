import logging

import pytest
import torch

from sota_exp.models.zoo import format_eval_sizes
from sota_exp.stages.data import Preprocessing
from sota_exp.stages.model import Model, PublishedWeights
from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.model.arch.small import SmallNetwork
from sota_exp.techniques.model.arch.timm import TimmNetwork
from sota_exp.techniques.model.weights.pretrained import PretrainedWeights

OWN = Preprocessing(mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6), interpolation="bicubic")
DATA = Preprocessing(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


class PublishedSmall(Model):
    """A small network with published weights for three classes."""

    def __call__(self, num_classes):
        return SmallNetwork(name="resnet_xs", width_multiplier=0.5)(num_classes)

    def load_published(self, tag):
        torch.manual_seed(5)
        return PublishedWeights(state=self(3).state_dict(), preprocessing=OWN, content_hash=f"hash of {tag}",
                         evaluated_at=format_eval_sizes(224, 0.875))  # fmt: skip


def test_loads_every_weight_and_brings_its_normalization():
    arch = PublishedSmall()
    model = PretrainedWeights(tag="best")(arch(3), arch)
    for name, value in arch.load_published("best").state.items():
        assert torch.equal(model.state_dict()[name], value)
    assert PretrainedWeights(tag="best").preprocessing(arch, DATA) == OWN
    assert PretrainedWeights(tag="best").content_hash(arch) == "hash of best"


def test_a_head_of_another_size_starts_at_zero_and_the_log_says_so(caplog):
    arch = PublishedSmall()
    model = arch(7)
    with caplog.at_level(logging.INFO):
        PretrainedWeights(tag="")(model, arch)
    assert not model.fc.weight.any() and not model.fc.bias.any()
    assert torch.equal(model(torch.randn(2, 3, 32, 32)), torch.zeros(2, 7))
    assert torch.equal(model.stem[0].weight, arch.load_published("").state["stem.0.weight"])
    assert "the weights have 3 classes, the data set has 7" in caplog.text
    assert "measured at data.image_size=224 data.crop_ratio=0.875" in caplog.text


def test_weights_of_another_network_are_refused_with_the_keys_named():
    with pytest.raises(InvalidValue, match=r"keys are missing: conv_stem.weight"):
        PretrainedWeights(tag="x")(TimmNetwork(name="tf_efficientnet_lite0", img_size=None)(3), PublishedSmall())
