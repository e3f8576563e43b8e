"""The order of weights in memory: of tensors with four dimensions alone, as `Module.to` has it."""

import copy

import pytest
import torch
from torch import nn

from sota_exp.models.memory_format import set_memory_format


def test_a_network_with_3d_kernels_is_laid_out() -> None:
    """As timm's lambda_resnet26t has; `Module.to` refuses it."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv3d(1, 2, (1, 3, 3)), nn.BatchNorm2d(4))
    with pytest.raises(RuntimeError, match="rank 4"):
        copy.deepcopy(network).to(memory_format=torch.channels_last)
    before = list(network.parameters())
    set_memory_format(network, torch.channels_last)
    assert network[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert network[1].weight.is_contiguous()
    assert all(now is then for now, then in zip(network.parameters(), before, strict=True))


@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
def test_others_are_laid_out_as_by_torch(memory_format: torch.memory_format) -> None:
    """Strides of 1 × 1 kernels too, by which a kernel of the library is chosen."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 8, 1), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, groups=8))
    expected = copy.deepcopy(network).to(memory_format=memory_format).state_dict()
    found = set_memory_format(network, memory_format).state_dict()
    assert {name: tensor.stride() for name, tensor in found.items()} == {
        name: tensor.stride() for name, tensor in expected.items()
    }
