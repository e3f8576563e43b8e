"""A small problem for every optimizer."""

import pytest
import torch
from torch import nn


@pytest.fixture
def two_weights():
    """A matrix and a vector with fixed gradients, in two groups with their own weight decay, rate and `lr_scale`."""
    rng = torch.Generator().manual_seed(0)
    weights = [nn.Parameter(torch.randn(4, 3, generator=rng)), nn.Parameter(torch.randn(4, generator=rng))]
    for weight in weights:
        weight.grad = torch.randn(weight.shape, generator=rng)
    groups = [
        {"params": [weights[0]], "weight_decay": 0.1, "lr": 0.02, "lr_scale": 1.0},
        {"params": [weights[1]], "weight_decay": 0.0, "lr": 0.2, "lr_scale": 10.0},
    ]
    return weights, groups
