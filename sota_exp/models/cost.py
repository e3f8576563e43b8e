"""The cost of a network: floating-point operations per image, and parameters."""

from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def count_flops(network: nn.Module, size: int) -> int:
    """Floating-point operations (two per multiply-add) of one forward pass on an image of size × size pixels."""
    with FlopCounterMode(display=False) as counter:
        read_blank_image(network, size)
    return counter.get_total_flops()


def read_blank_image(network: nn.Module, size: int) -> Any:
    """What the network gives for an image of size × size pixels: logits [1, C], if it is one that can be trained."""
    was_training = network.training
    weight = next(network.parameters())
    with torch.no_grad():
        found = network.eval()(torch.zeros(1, 3, size, size, device=weight.device))
    network.train(was_training)
    return found


def count_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
