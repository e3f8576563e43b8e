"""Random numbers depend on their key alone: not on other draws, nor on the number of ranks."""

import pytest
import torch
from scipy import stats

from sota_exp.stages.random import RandomStreams, key_to_seed

METHODS = {
    "uniform": lambda draws, num: draws.uniform(num, 2),
    "integers": lambda draws, num: draws.integers(7, num),
}


def test_a_key_gives_the_same_seed_everywhere():
    """A reference value: if it changes, the random numbers of every run change."""
    assert key_to_seed(0, "augmentation/mix", 7) == 1337432890453797964


@pytest.mark.parametrize("other", [(1, "a", 0), (0, "b", 0), (0, "a", 1), (0, "a", "0/")])
def test_another_key_gives_another_seed(other):
    assert key_to_seed(0, "a", 0) != key_to_seed(*other)


@pytest.mark.parametrize("draw", METHODS.values(), ids=METHODS)
def test_equal_keys_give_equal_numbers_whatever_was_drawn_before(draw):
    streams = RandomStreams(seed=3)
    first = draw(streams.random_numbers("slot", 5), 8)
    streams.random_numbers("other", 5).uniform(100)
    torch.rand(17)
    assert torch.equal(draw(streams.random_numbers("slot", 5), 8), first)
    assert not torch.equal(draw(streams.random_numbers("slot", 6), 8), first)


@pytest.mark.parametrize("world_size", [1, 2, 4])
@pytest.mark.parametrize("draw", METHODS.values(), ids=METHODS)
def test_each_rank_keeps_every_nth_number_of_a_single_process(draw, world_size):
    whole = draw(RandomStreams(seed=3).random_numbers("slot", 5), 8)
    parts = [
        draw(RandomStreams(seed=3, rank=rank, world_size=world_size).random_numbers("slot", 5), 8 // world_size)
        for rank in range(world_size)
    ]
    assert torch.equal(torch.stack(parts, 1).flatten(0, 1), whole)


def test_shared_draws_are_equal_on_every_rank_and_keep_the_generators_in_step():
    ranks = [RandomStreams(seed=3, rank=rank, world_size=2).random_numbers("slot", 5) for rank in range(2)]
    assert len({draws.shared_beta(0.2) for draws in ranks}) == 1
    assert torch.equal(*(draws.shared_uniform(3) for draws in ranks))
    parts = [draws.uniform(4) for draws in ranks]
    alone = RandomStreams(seed=3).random_numbers("slot", 5)
    alone.shared_beta(0.2), alone.shared_uniform(3)
    assert torch.equal(torch.stack(parts, 1).flatten(), alone.uniform(8))


def test_layers_are_reseeded_at_each_step():
    streams = RandomStreams(seed=3)
    streams.seed_layers(4)
    first = torch.rand(5)
    torch.rand(100)
    streams.seed_layers(4)
    assert torch.equal(torch.rand(5), first)


def test_shared_beta_follows_the_beta_distribution():
    draws = [RandomStreams(seed=0).random_numbers("mix", step).shared_beta(0.4) for step in range(2000)]
    assert stats.kstest(draws, stats.beta(0.4, 0.4).cdf).pvalue > 0.001


def test_steps_are_independent_and_uniform():
    first = torch.cat([RandomStreams(seed=0).random_numbers("slot", step).uniform(1) for step in range(2000)])
    assert stats.kstest(first.numpy(), "uniform").pvalue > 0.001
    assert abs(torch.corrcoef(torch.stack([first[:-1], first[1:]]))[0, 1]) < 0.08


def test_generators_on_the_cpu_use_32_bits_of_the_seed_and_hardly_any_two_of_a_run_are_equal():
    """As the module says: n²/2³³ pairs of n generators are expected to be equal, 2.3 of these."""
    first, second = (torch.Generator().manual_seed(5 + high).initial_seed() for high in (0, 2**40))
    assert first != second
    draws = [torch.rand(3, generator=torch.Generator().manual_seed(seed)) for seed in (first, second)]
    assert torch.equal(*draws)
    keys = [(slot, step) for slot in ("augmentation/crop", "augmentation/mix") for step in range(70_000)]
    low = {key_to_seed(0, *key) % 2**32 for key in keys}
    assert len(keys) - 10 < len(low)
