"""The order of a network's weights in memory."""

import itertools

import torch
from torch import nn


def set_memory_format(network: nn.Module, memory_format: torch.memory_format) -> nn.Module:
    """The network, its tensors of four dimensions laid out in `memory_format`; others, such as 3-d kernels, stay.

    `Module.to` would lay out those of five dimensions too, which `torch.channels_last` refuses.
    """
    for tensor in itertools.chain(network.parameters(), network.buffers()):
        if tensor.dim() == 4:
            tensor.data = tensor.data.to(memory_format=memory_format)
    return network
