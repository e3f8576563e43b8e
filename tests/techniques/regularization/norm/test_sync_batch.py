"""Synchronized batch norm on a machine without two CUDA devices; PyTorch tests the statistics over devices itself."""

import copy

import pytest
import torch
from torch import nn

from sota_exp.errors import ConfigError
from sota_exp.techniques.model.arch.small import SmallNetwork
from sota_exp.techniques.regularization.norm.sync_batch import SyncBatchNormalization
from sota_exp.training.distributed import World, wrap_in_ddp


def test_every_layer_is_synchronized_with_keys_and_outputs_unchanged():
    torch.manual_seed(0)
    plain = SmallNetwork(name="resnet_s", width_multiplier=0.5)(5)
    model = SyncBatchNormalization()(copy.deepcopy(plain))
    layers = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    assert layers
    assert all(isinstance(layer, nn.SyncBatchNorm) for layer in layers)
    assert list(model.state_dict()) == list(plain.state_dict())
    images = torch.randn(4, 3, 32, 32)
    torch.testing.assert_close(model.eval()(images), plain.eval()(images))


def test_on_one_device_it_trains_as_batch_norm():
    torch.manual_seed(0)
    plain = SmallNetwork(name="resnet_s", width_multiplier=0.5)(5)
    model, images = SyncBatchNormalization()(copy.deepcopy(plain)), torch.randn(4, 3, 32, 32)
    torch.testing.assert_close(model(images), plain(images))
    torch.testing.assert_close(model.state_dict(), plain.state_dict())


def test_several_processes_without_cuda_are_refused_by_the_key():
    """PyTorch synchronizes on CUDA only; its own error would come at the first step and not name the key."""
    model = SyncBatchNormalization()(SmallNetwork(name="resnet_s", width_multiplier=0.5)(5))
    with pytest.raises(
        ConfigError, match="^regularization/norm=sync_batch: .* 2 processes .*; legal there: batch, ghost_batch, group$"
    ):
        wrap_in_ddp(model, World(size=2), torch.device("cpu"), False)
    assert wrap_in_ddp(model, World(), torch.device("cpu"), False) is model
