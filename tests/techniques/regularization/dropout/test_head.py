import copy

import pytest
import torch
import torchvision
from torch import nn

from sota_exp.models.parts import get_classifier_layer
from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.model.arch.small import SmallNetwork
from sota_exp.techniques.regularization.dropout.head import HeadDropout


def features_seen(model, images):
    """The input of the classifier's linear map, which is made the identity here."""
    head = get_classifier_layer(model)
    head.weight.data.copy_(torch.eye(*head.weight.shape))
    head.bias.data.zero_()
    return model(images)


def small():
    torch.manual_seed(0)
    return SmallNetwork(name="resnet_xs", width_multiplier=2.0)(256)


def test_training_zeroes_a_fraction_and_rescales_the_rest():
    images = torch.randn(16, 3, 32, 32)
    plain, dropped = small().train(), HeadDropout(drop_rate=0.3)(small()).train()
    kept, full = features_seen(dropped, images), features_seen(plain, images)
    zero = kept == 0
    alive = full != 0
    assert zero[alive].float().mean().item() == pytest.approx(0.3, abs=0.03)
    torch.testing.assert_close(kept[~zero], full[~zero] / 0.7)


def test_evaluation_is_untouched():
    images = torch.randn(4, 3, 32, 32)
    assert torch.equal(HeadDropout(drop_rate=0.9)(small()).eval()(images), small().eval()(images))


def test_state_dict_keys_stay():
    assert list(HeadDropout(drop_rate=0.5)(small()).state_dict()) == list(small().state_dict())


def test_a_copy_in_evaluation_mode_does_not_drop_while_the_original_trains():
    model = HeadDropout(drop_rate=0.9)(small()).train()
    averaged, images = copy.deepcopy(model).eval(), torch.randn(4, 3, 32, 32)
    assert torch.equal(averaged(images), averaged(images))
    assert not torch.equal(model(images), model(images))


def test_equal_seeds_drop_alike():
    model, images = HeadDropout(drop_rate=0.5)(small()).train(), torch.randn(4, 3, 32, 32)
    first, second = (torch.manual_seed(7) and model(images) for _ in range(2))
    assert torch.equal(first, second)


def test_existing_dropout_before_the_head_gets_the_rate():
    model = HeadDropout(drop_rate=0.45)(torchvision.models.mobilenet_v3_small(num_classes=5))
    assert [m.p for m in model.modules() if isinstance(m, nn.Dropout)] == [0.45]
    assert len(get_classifier_layer(model)._forward_pre_hooks) == 0


@pytest.mark.parametrize("value", [-0.1, 1.0])
def test_illegal_values_are_named(value):
    with pytest.raises(InvalidValue, match="drop_rate"):
        HeadDropout(drop_rate=value)
