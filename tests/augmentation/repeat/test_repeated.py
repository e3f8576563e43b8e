import pytest
import torch

from sota_exp.augmentation.repeat.repeated import RepeatedAugmentation, repeat
from sota_exp.stages import InvalidValue, Shuffle
from sota_exp.streams import Streams


@pytest.mark.parametrize("num_samples", [1, 2, 3, 4, 5, 100, 255, 256, 1001])
@pytest.mark.parametrize("num_repeats", [1, 2, 3, 4])
def test_an_epoch_has_all_its_samples_of_a_share_of_the_images(num_samples, num_repeats):
    order = RepeatedAugmentation(num_repeats=num_repeats)(num_samples, 0, Streams(seed=0))
    distinct, counts = order.unique(return_counts=True)
    assert len(order) == num_samples and order.min() >= 0 and order.max() < num_samples
    assert len(distinct) == -(-num_samples // num_repeats)
    assert counts.max() <= num_repeats and (counts == num_repeats).sum() >= num_samples // num_repeats


def test_copies_are_neighbours_so_that_they_meet_in_a_batch():
    assert repeat(torch.tensor([5, 2, 8, 1, 0, 3, 4]), 3).tolist() == [5, 5, 5, 2, 2, 2, 8]


def test_once_is_the_plain_shuffle():
    ours = RepeatedAugmentation(num_repeats=1)(50, 3, Streams(seed=2))
    assert torch.equal(ours, Shuffle()(50, 3, Streams(seed=2)))


def test_the_order_is_equal_on_all_ranks_and_new_in_every_epoch():
    sampler = RepeatedAugmentation(num_repeats=4)
    first, other_rank, next_epoch = (
        sampler(64, epoch, Streams(seed=0, rank=rank, world_size=2)) for rank, epoch in [(0, 0), (1, 0), (0, 1)]
    )
    assert torch.equal(first, other_rank) and not torch.equal(first, next_epoch)


def test_every_image_is_shown_in_the_long_run():
    seen = torch.cat([RepeatedAugmentation(num_repeats=4)(40, epoch, Streams(seed=0)) for epoch in range(40)])
    assert len(seen.unique()) == 40


def test_fewer_than_one_copy_is_refused():
    with pytest.raises(InvalidValue, match="num_repeats=0"):
        RepeatedAugmentation(num_repeats=0)
