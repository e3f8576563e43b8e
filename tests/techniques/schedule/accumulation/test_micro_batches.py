from dataclasses import replace

import pytest
import torch
from torch import Tensor

from sota_exp.data.train_loader import load_crops
from sota_exp.stages.batch import Batch
from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.schedule.accumulation.micro_batches import MicroBatches
from sota_exp.training.loop import begin_epoch, start_training, train_step
from tests.experiments import OFF, TINY, composed, session_of


def make_batch(num_samples: int) -> Batch:
    rng = torch.Generator().manual_seed(0)
    return Batch(
        images=torch.randn(num_samples, 3, 8, 8, generator=rng),
        targets=torch.rand(num_samples, 5, generator=rng).softmax(1),
        weights=torch.rand(num_samples, generator=rng),
        sources=torch.arange(num_samples),
    )


def trained(batch_size: int, *words: str) -> dict[str, Tensor]:
    """The weights after two optimizer steps of `train_step`, on a network that normalizes each image separately."""
    settings = (
        *TINY,
        *OFF,
        "data.num_images=90",
        "regularization/norm=group",
        "optimizer.lr=0.05",
        f"batch_size={batch_size}",
    )
    session, _ = session_of(composed(*settings, *words).experiment)
    state = start_training(session)
    rng = torch.Generator().manual_seed(0)
    begin_epoch(session, state, 0, fresh=True)
    assert state.epoch_labels is not None
    weighted = replace(state.epoch_labels, weights=torch.rand(len(session.data.train), generator=rng))
    for crops, positions in load_crops(session.crops, range(2), 0, False):
        train_step(session, state, session.batch(crops, positions, weighted, 0))
    return dict(state.model.state_dict())


@pytest.mark.parametrize(("batch_size", "micro_batch_size"), [(24, 8), (26, 8), (25, 8), (5, 8), (7, 1)])
def test_two_steps_of_the_loop_give_the_weights_of_whole_batches(batch_size, micro_batch_size):
    """To 1e-6, including the last batch, which may be smaller."""
    words = ("schedule/accumulation=micro_batches", f"schedule.accumulation.micro_batch_size={micro_batch_size}")
    split, whole, longer = trained(batch_size, *words), trained(batch_size), trained(batch_size + 1)
    for name, value in whole.items():
        torch.testing.assert_close(split[name], value, atol=1e-6, rtol=0, msg=name)
    assert max((longer[name] - value).abs().max().item() for name, value in whole.items()) > 1e-4


@pytest.mark.parametrize(("micro_batch_size", "per_step"), [(24, 1), (8, 3)])
def test_running_statistics_of_batch_norm_move_once_per_micro_batch(micro_batch_size, per_step):
    words = ("schedule/accumulation=micro_batches", f"schedule.accumulation.micro_batch_size={micro_batch_size}")
    state = trained(24, *words, "regularization/norm=batch")
    assert {int(value) for name, value in state.items() if name.endswith("num_batches_tracked")} == {2 * per_step}


def test_with_the_momentum_of_the_docstring_they_forget_as_fast_as_one_move_per_step():
    """After k moves by 1 − (1 − m)^(1/k) the share of what was there before is 1 − m."""
    norm, momentum, num = torch.nn.BatchNorm2d(1, momentum=1 - (1 - 0.1) ** (1 / 4)), 0.1, 4
    for _ in range(num):
        norm(torch.full((2, 1, 2, 2), 5.0))
    torch.testing.assert_close(norm.running_mean, torch.tensor([5.0 * momentum]))


def test_windows_are_exact_in_order_and_lose_nothing():
    parts = list(MicroBatches(micro_batch_size=8)(make_batch(26)))
    assert [len(part) for part in parts] == [6, 7, 6, 7]
    assert torch.cat([part.sources for part in parts]).tolist() == list(range(26))


@pytest.mark.parametrize(("num", "size", "sizes"), [(16, 15, [8, 8]), (16, 8, [8, 8]), (5, 9, [5]), (7, 1, [1] * 7)])
def test_no_part_is_a_small_rest(num, size, sizes):
    """Batch norm can't normalize a remainder of a single image."""
    assert [len(part) for part in MicroBatches(micro_batch_size=size)(make_batch(num))] == sizes


def test_an_empty_micro_batch_is_refused():
    with pytest.raises(InvalidValue, match="micro_batch_size=0"):
        MicroBatches(micro_batch_size=0)
