"""Activation checkpointing: the same losses, weights and norm statistics to the bit, from fewer kept activations."""

import copy
from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F

from sota_exp.errors import ConfigError
from sota_exp.models.build import build_network
from sota_exp.models.recompute import find_repeated_blocks, keep_norm_statistics, recompute_activations
from sota_exp.models.small_nets import build_small
from sota_exp.training.loop import EpochRecord, fit, start_training
from tests.experiments import OFF, TINY, composed, session_of

#: Networks of torchvision: the side of images that they read in pixels, and how many blocks are computed again.
TORCHVISION = {
    "resnet18": (32, 8),
    "resnet50": (32, 16),
    "regnet_y_400mf": (32, 16),
    "mobilenet_v2": (32, 17),
    "mobilenet_v3_small": (32, 11),
    "efficientnet_b0": (32, 16),
    "mnasnet0_5": (32, 16),
    "shufflenet_v2_x0_5": (32, 16),
    "squeezenet1_1": (32, 8),
    "densenet121": (32, 58),
    "googlenet": (32, 12),
    "convnext_tiny": (32, 18),
    "swin_t": (32, 15),
}

#: Networks of timm with a switch of their own, and (dla34) without.
TIMM = {
    "resnet18": 32,
    "resnetv2_50": 32,
    "regnety_002": 32,
    "efficientnet_b0": 32,
    "mobilenetv3_small_050": 32,
    "convnext_atto": 32,
    "vit_tiny_patch16_224": 64,
    "deit_tiny_patch16_224": 64,
    "densenet121": 32,
    "ghostnet_050": 32,
    "dla34": 64,
}

#: Networks that take half a second each or more; of most families a smaller one is here too, or one of the other package.
LARGE = ("resnet50", "swin_t", "convnext_tiny", "resnetv2_50", "googlenet", "deit_tiny_patch16_224")


def train(network: nn.Module, size: int, recomputes: bool) -> tuple[list[float], int]:
    """Losses of two steps, and bytes that the first forward pass keeps for its backward pass."""
    network.train()
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor.untyped_storage().nbytes()
        return tensor

    optimizer, losses = torch.optim.SGD(network.parameters(), lr=0.01), []
    images = torch.randn(4, 3, size, size, generator=torch.Generator().manual_seed(0))
    for step in range(2):
        torch.manual_seed(step)
        with saved_tensors_hooks(pack, lambda tensor: tensor) if step == 0 else nullcontext():
            loss = F.cross_entropy(network(images), torch.tensor([0, 1, 2, 0]))
        with keep_norm_statistics(network) if recomputes else nullcontext():
            loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    weights = {parameter.untyped_storage()._cdata for parameter in network.parameters()}
    return losses, sum(size for storage, size in kept.items() if storage not in weights)


def assert_alike(network: nn.Module, size: int, most: float) -> None:
    """most: the largest share of activations that is kept."""
    other = recompute_activations(copy.deepcopy(network))
    (losses, kept), (again, fewer) = train(network, size, False), train(other, size, True)
    assert again == losses
    found, expected = other.state_dict(), network.state_dict()
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert fewer < most * kept


def large_later(names: Iterable[str]) -> list[Any]:
    """The names; those of large networks are left to `make torture`."""
    return [pytest.param(name, marks=pytest.mark.torture) if name in LARGE else name for name in names]


@pytest.mark.parametrize("name", large_later(TORCHVISION))
def test_networks_of_torchvision_train_alike(name: str) -> None:
    size, num_blocks = TORCHVISION[name]
    extra: dict[str, Any] = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    network = torchvision.models.get_model(name, num_classes=3, **extra)
    assert len(find_repeated_blocks(network)) == num_blocks
    assert_alike(network, size, 0.75)


def test_torchvisions_transformer_trains_alike() -> None:
    network = torchvision.models.VisionTransformer(
        32, 8, 3, 4, 32, 64, dropout=0.1, attention_dropout=0.1, num_classes=3
    )
    assert len(find_repeated_blocks(network)) == 3
    assert_alike(network, 32, 0.75)


@pytest.mark.parametrize("name", large_later(TIMM))
def test_networks_of_timm_train_alike(name: str) -> None:
    extra: dict[str, Any] = {"img_size": TIMM[name]} if "patch16" in name else {}
    extra |= {"drop_path_rate": 0.2} if name in ("resnet18", "convnext_atto", "vit_tiny_patch16_224") else {}
    assert_alike(timm.create_model(name, num_classes=3, **extra), TIMM[name], 0.75)


@pytest.mark.parametrize("name", ["resnet_xs", "resnet_l"])
def test_our_networks_train_alike(name: str) -> None:
    assert_alike(build_small(name, 3, 1.0), 32, 0.75)


@pytest.mark.parametrize("name", ["VGG", "AlexNet"])
def test_a_network_without_blocks_is_named(name: str) -> None:
    with torch.device("meta"):  # its weights are 500 MB, and are not needed
        network = torchvision.models.get_model({"VGG": "vgg11_bn"}.get(name, name.lower()), num_classes=3)
    with pytest.raises(ConfigError, match=f"runtime.checkpoint_activations=true: {name} has no") as error:
        recompute_activations(network)
    assert "ResNet, EfficientNet" in str(error.value)


def test_evaluation_computes_nothing_again() -> None:
    network = recompute_activations(build_small("resnet_xs", 3, 1.0)).eval()
    with torch.no_grad():
        assert not network(torch.rand(2, 3, 32, 32)).requires_grad
    (block, *_), (other, *_) = map(find_repeated_blocks, (network, copy.deepcopy(network)))
    assert vars(other)["forward"].args[0].__self__ is other is not block


#: What must be drawn again, moved once, or divided.
OPTIONS = {
    "plain": (),
    "layers that draw": (
        "regularization/dropout=head",
        "regularization/stochastic_depth=linear",
        "regularization.stochastic_depth.drop_path_rate=0.5",
    ),
    "ghost batch norm": ("regularization/norm=ghost_batch", "regularization.norm.ghost_batch_size=4"),
    "micro-batches and an average": (
        "schedule/accumulation=micro_batches",
        "schedule.accumulation.micro_batch_size=8",
        "regularization/average=ema",
        "regularization.average.every=1",
    ),
    "swa": ("regularization/average=swa", "regularization.average.start=0"),
    "frozen": ("model/tuning=head_only",),
    "half precision": ("runtime.precision=bf16",),
    "timm": ("model/arch=timm", "model.arch.name=resnet10t", "~model.arch.width_multiplier"),
}


def whole(*overrides: str) -> tuple[list[dict[str, float]], dict[str, torch.Tensor]]:
    words = [word for word in TINY if not ("~model.arch.width_multiplier" in overrides and "width_mult" in word)]
    own = [word for word in overrides if not word.startswith("~")]
    session, _ = session_of(composed(*words, *OFF, *own).experiment)
    state = start_training(session)
    metrics = [record.metrics for record in fit(session, state) if isinstance(record, EpochRecord)]
    return metrics, {**state.model.state_dict(), **state.average.module.state_dict()}


@pytest.mark.parametrize("name", OPTIONS)
def test_a_training_is_equal_to_the_bit(name: str) -> None:
    metrics, weights = whole(*OPTIONS[name])
    again, same = whole(*OPTIONS[name], "runtime.checkpoint_activations=true")
    assert again == metrics
    assert all(torch.equal(same[key], value) for key, value in weights.items())


def test_without_the_guard_norm_statistics_move_twice() -> None:
    network = recompute_activations(build_small("resnet_xs", 3, 1.0))
    other = copy.deepcopy(network)
    train(network, 32, True)
    train(other, 32, False)
    name = "stages.0.0.bn1.running_mean"
    assert not torch.equal(network.state_dict()[name], other.state_dict()[name])


def test_a_cumulative_mean_of_ghost_batches_counts_each_batch_once() -> None:
    """With momentum null the statistics are means over all batches, whose number is kept in Python too."""
    experiment = composed(*TINY, *OFF, "regularization/norm=ghost_batch", "regularization.norm.ghost_batch_size=2")
    network = build_network(experiment.experiment, 3)
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = None
    assert_alike(network, 32, 0.75)
