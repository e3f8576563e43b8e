"""Fifty steps of the exact recipe beside a loop of torch's own pieces on the same augmented batches: equal weights.

Augmentation is given: the batches are those that the recipe's own pipeline makes, and each of its parts is held to
torchvision's in its own test. What is compared is everything after it: soft targets, loss, decay groups, the rate of
every step, SGD, batch norm's statistics, and the moving average of weights and buffers, with warm-up's copies and an
interval that does not divide the steps of an epoch.
"""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sota_exp.stages.batch import Batch
from sota_exp.training.loop import TrainingSession, TrainingState, fit, start_training
from tests.experiments import composed, session_of

STEPS, EPOCHS, WARMUP, EVERY = 5, 10, 2, 2

EXACT = (
    "data=fake",
    "recipe=torchvision_exact",
    "data.num_images=200",
    "data.num_classes=4",
    "data.min_side=36",
    "model=none",
    "model.arch.name=resnet_xs",
    "batch_size=32",
    "data.image_size=32",
    f"schedule.length.epochs={EPOCHS}",
    f"schedule.warmup.fraction={WARMUP / EPOCHS}",
    f"regularization.average.every={EVERY}",
    "regularization.average.decay=0.8",
    "optimizer.lr=0.1",
    "runtime.device=cpu",
    "runtime.channels_last=false",
)


def recorded(session: TrainingSession) -> tuple[TrainingState, dict[str, Tensor], list[Batch]]:
    """The trained state, the initial weights, and every batch as the network read it."""
    batches: list[Batch] = []
    pipeline = session.pipeline

    def recording(batch: Batch, step: int, progress: float) -> Batch:
        made = pipeline(batch, step, progress)
        batches.append(replace(made, images=made.images.clone(), targets=made.targets.clone()))
        return made

    session = replace(session, pipeline=recording)  # type: ignore[arg-type]
    state = start_training(session)
    first = {name: value.clone() for name, value in state.model.state_dict().items()}
    for _ in fit(session, state):
        pass
    return state, first, batches


def decay_groups(model: nn.Module) -> list[dict[str, Any]]:
    """As the reference's `set_weight_decay` with 2e-5, and 0 on norm layers."""
    norms = [p for m in model.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()]
    others = [p for p in model.parameters() if not any(p is norm for norm in norms)]
    return [{"params": others, "weight_decay": 2e-5}, {"params": norms, "weight_decay": 0.0}]


def straightforward(model: nn.Module, batches: list[Batch]) -> nn.Module:
    """Train `model` in place with one scheduler step per epoch; returns the averaged network."""
    # Fused like ours: the plain step rounds the last bit differently, which fifty steps at this rate magnify.
    optimizer = torch.optim.SGD(decay_groups(model), lr=0.1, momentum=0.9, fused=True)
    warmup = LinearLR(optimizer, start_factor=0.01, total_iters=WARMUP)
    schedule = SequentialLR(
        optimizer, [warmup, CosineAnnealingLR(optimizer, T_max=EPOCHS - WARMUP)], milestones=[WARMUP]
    )
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.8), use_buffers=True)
    model.train()
    for step, batch in enumerate(batches):
        loss = nn.functional.cross_entropy(model(batch.images.contiguous()), batch.targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        epoch, i = divmod(step, STEPS)
        # As the reference's `train_one_epoch`.
        if i % EVERY == 0:
            average.update_parameters(model)
            if epoch < WARMUP:
                average.n_averaged.fill_(0)
        if i + 1 == STEPS:
            schedule.step()
    return average.module


def distance(one: nn.Module, other: nn.Module) -> float:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return max((a.double() - b.double()).abs().max().item() for a, b in pairs)


@pytest.fixture(scope="module")
def session() -> TrainingSession:
    found, _ = session_of(composed(*EXACT).experiment)
    assert (found.steps_per_epoch, found.total_steps) == (STEPS, STEPS * EPOCHS)
    return found


def test_the_whole_trajectory_is_that_of_torchs_own_pieces(session: TrainingSession) -> None:
    state, first, batches = recorded(session)
    model = session.network()
    model.load_state_dict(first)
    average = straightforward(model, batches)
    assert len(batches) == 50
    assert distance(state.model, model) < 1e-6
    assert distance(state.average.module, average) < 1e-6
    fresh = session.network()
    fresh.load_state_dict(first)
    assert distance(state.model, fresh) > 1e-2


def test_the_batches_are_those_of_the_whole_recipe(session: TrainingSession) -> None:
    """Mixed and smoothed soft targets, four copies of an image, crops smaller than those of evaluation."""
    _, _, batches = recorded(session)
    targets = torch.stack([batch.targets for batch in batches])
    assert targets.sum(2).sub(1).abs().max() < 1e-6
    assert targets.min() == pytest.approx(0.1 / 4)
    assert ((targets > 0.1).sum(2) == 2).any()
    assert all(batch.images.shape[-1] == 25 for batch in batches)
    assert all(batch.sources.bincount().max() == 4 for batch in batches)
