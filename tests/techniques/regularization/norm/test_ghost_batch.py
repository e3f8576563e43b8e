import copy

import pytest
import timm
import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from sota_exp.models.parts import find_norm_layers
from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.model.arch.small import SmallNetwork
from sota_exp.techniques.regularization.norm.ghost_batch import (
    GhostBatchNorm2d,
    GhostBatchNormalization,
    compute_chunk_sizes,
)


def pair(ghost_batch_size, channels=6):
    """A batch norm with random parameters and statistics, and its ghost batch norm."""
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(channels, momentum=0.2)
    norm.weight.data.normal_()
    norm.bias.data.normal_()
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    return norm, GhostBatchNorm2d(copy.deepcopy(norm), ghost_batch_size)


@pytest.mark.parametrize("batch_size", [8, 31, 32, 33, 34, 64, 70, 95])
def test_training_equals_separate_batch_norms(batch_size):
    norm, ghost = pair(32)
    x = torch.randn(batch_size, 6, 4, 5)
    parts = [copy.deepcopy(norm)(chunk) for chunk in x.split(32)]
    torch.testing.assert_close(ghost(x), torch.cat(parts))


@pytest.mark.parametrize("batch_size", [32, 64, 70, 95])
def test_running_statistics_move_once_to_the_mean_of_the_chunks(batch_size):
    norm, ghost = pair(32)
    x = torch.randn(batch_size, 6, 4, 5)
    share = torch.tensor([len(chunk) / batch_size for chunk in x.split(32)])
    means = torch.stack([chunk.mean((0, 2, 3)) for chunk in x.split(32)])
    variances = torch.stack([chunk.var((0, 2, 3)) for chunk in x.split(32)])
    ghost(x)
    torch.testing.assert_close(ghost.running_mean, 0.8 * norm.running_mean + 0.2 * share @ means)
    torch.testing.assert_close(ghost.running_var, 0.8 * norm.running_var + 0.2 * share @ variances)
    assert ghost.num_batches_tracked == 1


@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_evaluation_is_batch_norm(batch_size):
    norm, ghost = pair(4)
    x = torch.randn(batch_size, 6, 4, 5)
    assert torch.equal(ghost.eval()(x), norm.eval()(x))


def test_a_last_sample_of_one_pixel_joins_the_chunk_before_it():
    norm, ghost = pair(4)
    x = torch.randn(9, 6, 1, 1)
    parts = [copy.deepcopy(norm)(chunk) for chunk in x.split([4, 5])]
    torch.testing.assert_close(ghost(x), torch.cat(parts))
    assert compute_chunk_sizes(9, 4, num_pixels=2) == [4, 4, 1]


def test_state_dict_keys_are_batch_norms():
    torch.manual_seed(0)
    plain = SmallNetwork(name="resnet_s", width_multiplier=0.5)(5)
    ghost = GhostBatchNormalization(ghost_batch_size=4)(copy.deepcopy(plain))
    assert list(ghost.state_dict()) == list(plain.state_dict())
    assert sum(isinstance(layer, GhostBatchNorm2d) for _, layer in find_norm_layers(ghost)) == len(
        list(find_norm_layers(plain))
    )
    plain.load_state_dict(ghost.state_dict())
    images = torch.randn(3, 3, 32, 32)
    assert torch.equal(plain.eval()(images), ghost.eval()(images))


def test_a_chunk_as_large_as_the_batch_is_batch_norm_even_in_its_gradient():
    torch.manual_seed(0)
    plain, images = SmallNetwork(name="resnet_xs", width_multiplier=1.0)(5), torch.randn(8, 3, 32, 32)
    ghost = GhostBatchNormalization(ghost_batch_size=8)(copy.deepcopy(plain))
    for model in (plain, ghost):
        model(images).square().sum().backward()
    for mine, theirs in zip(ghost.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad)


def test_timms_fused_activation_stays():
    torch.manual_seed(0)
    plain = timm.create_model("tf_efficientnet_lite0", num_classes=5)
    ghost = GhostBatchNormalization(ghost_batch_size=2)(copy.deepcopy(plain))
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(ghost.train()(images), plain.train()(images))
    assert list(ghost.state_dict()) == list(plain.state_dict())


def test_statistics_can_be_recomputed():
    _, ghost = pair(4)
    batches = torch.randn(3, 8, 6, 4, 5)
    update_bn(list(batches), ghost)
    torch.testing.assert_close(ghost.running_mean, batches.mean((0, 1, 3, 4)))


def test_without_a_momentum_the_statistics_are_the_mean_of_all_batches_also_after_loading():
    _, ghost = pair(4)
    ghost.momentum, batches = None, torch.randn(5, 8, 6, 4, 5)
    ghost.reset_running_stats()
    for batch in batches[:3]:
        ghost(batch)
    _, other = pair(4)
    other.momentum = None
    other(batches[0])
    other.load_state_dict(ghost.state_dict())
    for batch in batches[3:]:
        other(batch)
    torch.testing.assert_close(other.running_mean, batches.mean((0, 1, 3, 4)))


def test_a_chunk_of_one_is_refused():
    with pytest.raises(InvalidValue, match="ghost_batch_size=1"):
        GhostBatchNormalization(ghost_batch_size=1)
