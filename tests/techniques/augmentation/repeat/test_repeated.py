import itertools
import math
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from sota_exp.data.train_loader import TrainCrops
from sota_exp.stages.augmentation import Shuffle
from sota_exp.stages.random import RandomStreams
from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.augmentation.repeat.repeated import RepeatedAugmentation, repeat_indices
from tests.rows import each_row


def of_the_reference(order: list[int], num_repeats: int, rank: int, world_size: int) -> list[int]:
    """Indices of a rank by the arithmetic of torchvision's RASampler (references/classification/sampler.py)."""
    num_samples = math.ceil(len(order) * float(num_repeats) / world_size)
    total_size = num_samples * world_size
    num_selected = math.floor(len(order) // 256 * 256 / world_size)
    indices = [index for index in order for _ in range(num_repeats)]
    indices += indices[: total_size - len(indices)]
    return indices[rank:total_size:world_size][:num_selected]


class Positions:
    """A crop stage that returns the indices."""

    def __call__(self, images: object, indices: Tensor, size: int, rng: object, interpolation: str) -> Tensor:
        return indices


def of_ours(num_images: int, batch_size: int, epoch: int, num_repeats: int, rank: int, world_size: int) -> list[Tensor]:
    """The indices of each step of an epoch, as the loader of a rank receives them."""
    crops = TrainCrops(
        images=SimpleNamespace(blocks=None),  # type: ignore[arg-type]
        train=torch.arange(num_images),
        sampler=RepeatedAugmentation(num_repeats=num_repeats),
        crop=Positions(),  # type: ignore[arg-type]
        size=1,
        interpolation="bilinear",
        batch_size=batch_size,
        streams=RandomStreams(seed=7, rank=rank, world_size=world_size),
    )
    steps = range(epoch * crops.steps_per_epoch, (epoch + 1) * crops.steps_per_epoch)
    return [crops[step][1] for step in steps]


@pytest.mark.parametrize("epoch", [0, 1, 5])
@pytest.mark.parametrize(
    ("num_images", "batch_size", "num_repeats", "world_size"),
    [(2048, 1024, 4, 8), (2048, 256, 3, 8), (1500, 64, 4, 4), (1025, 32, 3, 2), (5000, 1024, 4, 8)],
)
def test_a_rank_receives_what_the_reference_hands_it(num_images, batch_size, num_repeats, world_size, epoch):
    """Both shuffle anew every epoch, here equally; the reference's last, partial batch is left out."""
    order = torch.randperm(num_images, generator=RandomStreams(seed=7).generator("order", epoch)).tolist()
    share = batch_size // world_size
    for rank in range(world_size):
        theirs = of_the_reference(order, num_repeats, rank, world_size)
        ours = torch.cat(of_ours(num_images, batch_size, epoch, num_repeats, rank, world_size)).tolist()
        common = len(theirs) // share * share
        # Whole batches: the reference rounds the number of images down to a multiple of 256, we to whole batches.
        assert ours[:common] == theirs[:common]
        assert len(ours) == num_images // batch_size * share
        assert 0 <= len(ours) - common < max(256, batch_size)


def test_of_1024_images_a_step_each_of_8_ranks_sees_128_distinct_ones():
    ranks = [of_ours(2048, 1024, 0, 4, rank, 8)[0] for rank in range(8)]
    assert [len(rank.unique()) for rank in ranks] == [128] * 8
    distinct, counts = torch.cat(ranks).unique(return_counts=True)
    assert len(distinct) == 256 and (counts == 4).all()


def test_seeds_and_epochs_differ_and_ranks_are_equal():
    orders = {tuple(RepeatedAugmentation(num_repeats=4)(64, 0, RandomStreams(seed=seed)).tolist()) for seed in range(8)}
    assert len(orders) == 8


def test_fewer_than_256_images_are_shown_where_the_reference_has_none():
    order = list(range(255))
    assert of_the_reference(order, 4, 0, 2) == []
    assert [len(step) for step in of_ours(255, 64, 0, 4, 1, 2)] == [32] * 3


@each_row("num_samples, num_repeats", itertools.product([1, 2, 3, 4, 5, 100, 255, 256, 1001], [1, 2, 3, 4]))
def test_an_epoch_has_all_its_samples_from_a_fraction_of_the_images(num_samples, num_repeats):
    order = RepeatedAugmentation(num_repeats=num_repeats)(num_samples, 0, RandomStreams(seed=0))
    distinct, counts = order.unique(return_counts=True)
    assert len(order) == num_samples and order.min() >= 0 and order.max() < num_samples
    assert len(distinct) == -(-num_samples // num_repeats)
    assert counts.max() <= num_repeats and (counts == num_repeats).sum() >= num_samples // num_repeats


def test_copies_are_neighbours_so_that_they_meet_in_a_batch():
    assert repeat_indices(torch.tensor([5, 2, 8, 1, 0, 3, 4]), 3).tolist() == [5, 5, 5, 2, 2, 2, 8]


def test_once_is_the_plain_shuffle():
    ours = RepeatedAugmentation(num_repeats=1)(50, 3, RandomStreams(seed=2))
    assert torch.equal(ours, Shuffle()(50, 3, RandomStreams(seed=2)))


def test_the_order_is_equal_on_all_ranks_and_new_in_every_epoch():
    sampler = RepeatedAugmentation(num_repeats=4)
    first, other_rank, next_epoch = (
        sampler(64, epoch, RandomStreams(seed=0, rank=rank, world_size=2)) for rank, epoch in [(0, 0), (1, 0), (0, 1)]
    )
    assert torch.equal(first, other_rank) and not torch.equal(first, next_epoch)


def test_every_image_is_shown_in_the_long_run():
    seen = torch.cat([RepeatedAugmentation(num_repeats=4)(40, epoch, RandomStreams(seed=0)) for epoch in range(40)])
    assert len(seen.unique()) == 40


def test_fewer_than_one_copy_is_refused():
    with pytest.raises(InvalidValue, match="num_repeats=0"):
        RepeatedAugmentation(num_repeats=0)
