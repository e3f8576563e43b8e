"""Batches for norm statistics: shuffled, as large as in training, and the same for any batch size of the evaluation."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from sota_exp.training.distributed import World
from sota_exp.training.loop import TrainingSession, fit, start_training
from sota_exp.training.norm_batches import iterate_norm_batches
from tests.experiments import OFF, TINY, composed, session_of

SWA = ("regularization/average=swa", "regularization.average.start=0", "optimizer.lr=0.05")


def session_with(*words: str, world: World | None = None) -> TrainingSession:
    return session_of(composed(*TINY, *OFF, *words).experiment, world)[0]


def sort_by_class(session: TrainingSession) -> TrainingSession:
    """The session with the training images in the order of a folder of classes."""
    data = session.data
    train = data.train[data.labels[data.train].argsort(stable=True)]
    evaluator = replace(session.evaluator, data=replace(data, train=train), _cache={})
    return replace(session, data=evaluator.data, evaluator=evaluator, crops=replace(session.crops, train=train))


def read_all(session: TrainingSession) -> Tensor:
    return torch.cat(list(iterate_norm_batches(session)))


def rows(images: Tensor) -> set[bytes]:
    return {image.contiguous().numpy().tobytes() for image in images}


def test_every_training_image_is_in_one_batch_of_the_size_of_training():
    session = session_with("data.num_images=69")  # 55 for training, in three batches
    batches = list(iterate_norm_batches(session))
    assert [len(batch) for batch in batches] == [19, 18, 18]
    assert rows(torch.cat(batches)) == rows(torch.cat(list(session.evaluator.images("train", session.default_view))))


def test_batches_are_divided_into_the_micro_batches_of_training():
    session = session_with("schedule/accumulation=micro_batches", "schedule.accumulation.micro_batch_size=4")
    assert [len(batch) for batch in iterate_norm_batches(session)] == [4] * 12


def test_all_ranks_get_equally_many_images_of_their_own():
    ranks = [[*iterate_norm_batches(session_with("data.num_images=61", world=World(rank=r, size=2)))] for r in range(2)]
    assert [len(batch) for batch in ranks[0]] == [len(batch) for batch in ranks[1]] == [8, 8, 8]
    assert not rows(torch.cat(ranks[0])) & rows(torch.cat(ranks[1]))


def test_the_order_is_random_and_that_of_the_seed():
    images = read_all(session_with())
    in_order = torch.cat(list(session_with().evaluator.images("train", session_with().default_view)))
    assert torch.equal(images, read_all(session_with()))
    assert not torch.equal(images, in_order) and not torch.equal(images, read_all(session_with("seed=1")))


@pytest.mark.parametrize("batch_size", [1, 7, 48])
def test_shipped_weights_do_not_depend_on_the_batch_size_of_evaluation(batch_size: int):
    one, other = (ship(session_with(*SWA, f"evaluation.batch_size={size}")) for size in (batch_size, 500))
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def ship(session: TrainingSession) -> nn.Module:
    state = start_training(session)
    for _ in fit(session, state):
        pass
    state.average.finish(iterate_norm_batches(session))
    return state.average.module


def test_statistics_of_images_sorted_by_class_are_those_of_a_random_order():
    """In batches of one class each, the variance of the first layer would be about a tenth of this."""
    session = sort_by_class(session_with(*SWA, "batch_size=12"))
    module = ship(session)
    norm, stem = (
        next(layer for layer in module.modules() if isinstance(layer, kind)) for kind in (nn.BatchNorm2d, nn.Conv2d)
    )
    with torch.no_grad():
        outputs = torch.cat([stem(images) for images in session.evaluator.images("train", session.default_view)])
    torch.testing.assert_close(norm.running_mean, outputs.mean((0, 2, 3)))
    torch.testing.assert_close(norm.running_var, outputs.var((0, 2, 3)), rtol=0.1, atol=0)
    by_class = torch.stack([part.var((0, 2, 3)) for part in outputs.split(12)]).mean(0)
    assert (by_class < 0.3 * outputs.var((0, 2, 3))).all()
