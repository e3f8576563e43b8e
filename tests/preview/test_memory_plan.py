"""The memory plan of a step: what it counts without values is what a real step on the CPU keeps."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import timm
import torch
import torchvision
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from sota_exp.data.open import open_data
from sota_exp.models.recompute import keep_activations, recompute_activations
from sota_exp.models.small_nets import build_small
from sota_exp.preview import memory_plan
from sota_exp.preview.explain import format_memory
from sota_exp.preview.memory_plan import MemoryPlan, autocast_of_cuda, count_bytes, count_kept, plan_memory
from sota_exp.training.distributed import World
from sota_exp.training.loop import TrainingSession, TrainingState, fit, start_training
from sota_exp.training.session import open_session
from tests.experiments import OFF, TINY, composed
from tests.options import options

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "ours": lambda: build_small("resnet_xs", 3, 1.0),
    "torchvision": lambda: torchvision.models.resnet18(num_classes=3),
    "timm": lambda: timm.create_model("convnext_atto", num_classes=3),
    "without dropout": lambda: torchvision.models.mobilenet_v2(num_classes=3, dropout=0.0),  # a CPU's masks are floats
}


@pytest.mark.parametrize("recomputes", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_bytes_that_are_kept_are_those_of_a_real_step(name: str, recomputes: bool) -> None:
    network, images = NETWORKS[name]().train(), torch.rand(4, 3, 64, 64)
    plain = count_kept(network, images)
    if recomputes:
        recompute_activations(network)
    expected = count_kept(network, images)
    assert (expected < plain) == recomputes and expected[0] > images.nbytes
    assert count_kept(network, images.to("meta")) == expected
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert count_kept(network, torch.empty(4, 3, 64, 64, device="cuda")) == expected
    assert count_kept(keep_activations(network), images) == plain


def test_in_half_precision_activations_are_half_and_weights_are_copied() -> None:
    network = build_small("resnet_xs", 3, 1.0).train()
    with FakeTensorMode(allow_non_fake_inputs=True):
        single, _ = count_kept(network, torch.empty(64, 3, 64, 64, device="cuda"))
        with autocast_of_cuda(torch.bfloat16):
            half, _ = count_kept(network, torch.empty(64, 3, 64, 64, device="cuda"))
    assert 0.5 < half / single < 0.6
    assert not torch.is_autocast_enabled("cuda")


def planned(*overrides: str, world: World | None = None) -> tuple[TrainingSession, TrainingState, MemoryPlan]:
    experiment = composed(*TINY, *OFF, "schedule.length.epochs=1", *overrides).experiment
    world = world or World()
    session = open_session(experiment, open_data(experiment), world, torch.device("cpu"))
    state = start_training(session if world.size == 1 else replace(session, world=World()))
    plan = plan_memory(session, state)
    assert plan is not None
    return session, state, plan


@pytest.mark.parametrize("name", [option.name for option in options() if option.slot == "optimizer"])
def test_weights_gradients_and_optimizer_are_exact(name: str) -> None:
    session, state, plan = planned(f"optimizer={name}", "optimizer.lr=1e-4")
    for _ in fit(session, state):
        pass
    assert plan.optimizer == count_bytes(dict(state.optimizer.state))
    assert plan.weights == count_bytes([*state.model.parameters(), *state.model.buffers()])
    assert plan.gradients == count_bytes(list(state.model.parameters()))


def test_layers_that_are_frozen_at_first_count_and_those_that_stay_frozen_do_not() -> None:
    epochs = "schedule.length.epochs=4"
    whole, gradual, head = (planned(epochs, f"model/tuning={name}")[2] for name in ("full", "gradual", "head_only"))
    assert (gradual.gradients, gradual.activations) == (whole.gradients, whole.activations)
    assert head.gradients < whole.gradients / 10 and head.activations < whole.activations / 10


@pytest.mark.parametrize("name", ["ema", "swa"])
def test_an_average_is_counted(name: str) -> None:
    plan = planned(f"regularization/average={name}")[2]
    assert plan.average == pytest.approx(plan.weights, abs=100)
    assert planned()[2].average == 0


def test_micro_batches_and_processes_keep_fewer_activations_and_their_gradients() -> None:
    whole = planned()[2]
    assert (whole.num_images, whole.keeps_gradients) == (16, False)
    split = planned("schedule/accumulation=micro_batches", "schedule.accumulation.micro_batch_size=6")[2]
    assert (split.num_images, split.keeps_gradients, split.images) == (6, True, whole.images)
    two = planned(world=World(size=2))[2]
    assert (two.num_images, two.keeps_gradients, two.images) == (8, True, whole.images // 2)
    assert whole.activations == pytest.approx(2 * two.activations, rel=0.05)
    again = planned("runtime.checkpoint_activations=true")[2]
    assert again.activations < whole.activations


def test_the_peak_has_activations_or_gradients_and_tells_how_many_images_fit() -> None:
    plan = MemoryPlan(weights=100, gradients=100, optimizer=200, average=50, images=10, activations=300, num_images=10,
                      keeps_gradients=False)  # fmt: skip
    assert plan.peak == 100 + 200 + 50 + 10 + 300
    assert replace(plan, activations=30).peak == 100 + 200 + 50 + 10 + 100
    assert replace(plan, keeps_gradients=True).peak == plan.peak + 100
    assert plan.count_fitting(math.ceil((350 + 20 * 31) / memory_plan.USABLE_SHARE)) == 20
    assert plan.count_fitting(100) == 0


def test_explain_says_what_the_memory_is_for() -> None:
    unit = 2**20
    plan = MemoryPlan(weights=98 * unit, gradients=98 * unit, optimizer=98 * unit, average=0, images=10 * unit,
                      activations=2000 * unit, num_images=1024, keeps_gradients=False)  # fmt: skip
    said = "about 2,206 MiB at the peak of a step (weights 98, gradients 98, optimizer 98, images 10, activations of 1,024 images 2,000)"
    assert format_memory(plan, None) == said
    assert format_memory(plan, 8192 * unit) == f"{said}; 8,192 are there, enough for about 3,447 images"
    assert "unknown" in format_memory(None, None)


class Reads(nn.Module):
    """Images [B, 3, H, W] → [B, 2]; which way depends on their values."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        means = images.mean((2, 3))
        return self.layer(means) if means.sum() > 0 else self.layer(-means)


def test_a_network_that_reads_values_has_no_plan() -> None:
    session, state, _ = planned()
    state.model = Reads()
    assert plan_memory(session, state) is None
