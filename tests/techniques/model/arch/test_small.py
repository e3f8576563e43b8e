import itertools

import pytest
import torch

from sota_exp.models.parts import find_classifier_name, find_norm_layers, find_residual_blocks
from sota_exp.models.small_nets import NAMES, SMALL_NETWORKS
from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.model.arch.small import SmallNetwork
from tests.rows import each_row


@each_row("size, name", itertools.product([16, 33, 48, 64, 96], NAMES))
def test_any_size_gives_logits(name, size):
    model = SmallNetwork(name=name, width_multiplier=0.25)(7).eval()
    assert model(torch.randn(2, 3, size, size)).shape == (2, 7)


@pytest.mark.parametrize(("name", "blocks"), [(name, sum(depths)) for name, (depths, _) in SMALL_NETWORKS.items()])
def test_parts_are_found(name, blocks):
    model = SmallNetwork(name=name, width_multiplier=1.0)(7)
    assert len(find_residual_blocks(model)) == blocks
    assert find_classifier_name(model) == "fc"
    assert len(list(find_norm_layers(model))) == 1 + 2 * blocks + 3


def test_a_pooled_network_has_the_shape_that_was_published():
    """airbench94's widths and maps of 32 px: pooling follows the first convolution of each stage."""
    model = SmallNetwork(name="pooled_m", width_multiplier=1.0)(10).eval()
    shapes, images = [], model.stem(torch.randn(1, 3, 32, 32))
    for stage in model.stages:
        images = stage(images)
        shapes.append(tuple(images.shape[1:]))
    assert shapes == [(64, 16, 16), (256, 8, 8), (256, 4, 4)]
    assert torch.equal(model.pool(images)[:, :, 0, 0], images.amax((2, 3)))
    assert find_residual_blocks(model) == [] and find_classifier_name(model) == "fc"
    assert len(list(find_norm_layers(model))) == 7


def test_equal_seeds_give_equal_weights():
    first, second = (torch.manual_seed(3) and SmallNetwork(name="resnet_xs", width_multiplier=1.0)(7) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_activations_start_at_unit_scale():
    torch.manual_seed(0)
    logits = SmallNetwork(name="resnet_m", width_multiplier=1.0)(10).train()(torch.randn(32, 3, 48, 48))
    assert 0.05 < logits.std() < 3


def test_width_is_a_multiple_of_eight_channels():
    stem = SmallNetwork(name="resnet_s", width_multiplier=0.7)(7).stem[0]
    assert stem.out_channels % 8 == 0
    assert abs(stem.out_channels - 0.7 * SMALL_NETWORKS["resnet_s"][1]) <= 4


def test_nobody_published_weights():
    with pytest.raises(InvalidValue, match="nobody published"):
        SmallNetwork(name="resnet_s", width_multiplier=1.0).load_published("")


@pytest.mark.parametrize(
    ("field", "value"), [("name", "resnet_z"), ("width_multiplier", 0.1), ("width_multiplier", 9.0)]
)
def test_illegal_values_are_named(field, value):
    with pytest.raises(InvalidValue, match=field):
        SmallNetwork(**{"name": "resnet_s", "width_multiplier": 1.0, field: value})
