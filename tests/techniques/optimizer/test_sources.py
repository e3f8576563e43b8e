"""The defaults of every optimizer do what the implementation that they are quoted from does with its own constants."""

import itertools

import torch
from timm.optim import Lamb, Lion, RMSpropTF
from torch import Tensor, nn

from tests.experiments import composed
from tests.options import options
from tests.rows import each_row

#: Option → the implementation of its source, with the constants that the source states.
SOURCES = {
    "sgd": lambda groups: torch.optim.SGD(groups, lr=0.1, momentum=0.9),
    "nesterov": lambda groups: torch.optim.SGD(groups, lr=0.1, momentum=0.9, nesterov=True),
    "adam": lambda groups: torch.optim.Adam(groups, lr=1e-3, betas=(0.9, 0.999), eps=1e-8),
    "adamw": lambda groups: torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.999), eps=1e-8),
    "rmsprop": lambda groups: RMSpropTF(groups, lr=0.016, alpha=0.9, momentum=0.9, eps=1e-3),
    "lamb": lambda groups: Lamb(groups, lr=5e-3, betas=(0.9, 0.999), eps=1e-6, max_grad_norm=None),
    "lion": lambda groups: Lion(groups, lr=2e-4, betas=(0.9, 0.99)),
}


def trained(build, weight_decay: float, size: float) -> Tensor:
    """A matrix after 20 steps on gradients of the given size."""
    draws = torch.Generator().manual_seed(0)
    weight = nn.Parameter(torch.randn(8, 5, generator=draws))
    optimizer = build([{"params": [weight], "weight_decay": weight_decay, "lr_scale": 1.0}])
    for _ in range(20):
        weight.grad = size * torch.randn(8, 5, generator=draws)
        optimizer.step()
    return weight.detach()


@each_row("size, name", itertools.product([1e-6, 1e-4, 1e-2, 1.0], SOURCES))
def test_the_defaults_step_as_their_source_does(name: str, size: float) -> None:
    experiment = composed("data=fake", "recipe=baseline", f"optimizer={name}", "~gradient_descent").experiment
    ours = experiment.optimizer

    def build(groups):
        optimizer = ours(groups)
        for group in optimizer.param_groups:
            group["lr"] = ours.lr
        return optimizer

    torch.testing.assert_close(
        trained(build, ours.weight_decay, size), trained(SOURCES[name], ours.weight_decay, size), rtol=1e-5, atol=1e-7
    )


def test_every_optimizer_has_its_source_here() -> None:
    """Muon's reference is stepped in `test_muon.py`."""
    assert {option.name for option in options() if option.slot == "optimizer"} == {*SOURCES, "muon"}
