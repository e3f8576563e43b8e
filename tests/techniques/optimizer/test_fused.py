"""The fused kernel of an optimizer takes the same steps as PyTorch's loop over parameters, also in channels last."""

import copy

import pytest
import torch
from torch import nn

from tests.experiments import composed

FUSED = ("sgd", "nesterov", "adam", "adamw")


def network():
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 5))
    return layers.to(memory_format=torch.channels_last)


def stepped(model, make):
    """The parameters after five steps of the optimizer `make(…)`, with random gradients in their memory format."""
    optimizer = make([{"params": list(model.parameters()), "lr_scale": 1.0, "weight_decay": 0.1}])
    generator = torch.Generator().manual_seed(1)
    for step in range(5):
        for parameter in model.parameters():
            gradient = torch.randn(parameter.shape, generator=generator)
            parameter.grad = gradient.to(memory_format=torch.channels_last) if gradient.dim() == 4 else gradient
        optimizer.param_groups[0]["lr"] = 0.1 / (step + 1)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return [parameter.detach() for parameter in model.parameters()]


@pytest.mark.parametrize("name", FUSED)
def test_fused_steps_are_those_of_the_loop(name):
    option = composed(f"optimizer={name}").experiment.optimizer
    model = network()

    def loop(groups):
        optimizer = option(groups)
        for group in optimizer.param_groups:
            assert group["fused"]
            group.update(fused=False, foreach=False)
        return optimizer

    given = stepped(copy.deepcopy(model), lambda groups: option(groups))
    expected = stepped(copy.deepcopy(model), loop)
    for mine, theirs, start in zip(given, expected, model.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)
        assert (mine - start).abs().max() > 0.01
