import pytest
import torch
from scipy import stats

from sota_exp.techniques.augmentation.mix.pairing import choose_partners


def noise(num, seed=0):
    return torch.rand(num, 3, generator=torch.Generator().manual_seed(seed))


def fewest_own_pairs(sources):
    return max(0, 2 * sources.unique(return_counts=True)[1].max().item() - len(sources))


def own_pairs(sources, partner):
    return (sources[partner] == sources).sum().item()


@pytest.mark.parametrize("seed", range(200))
def test_any_batch_has_as_few_pairs_of_equal_source_as_possible(seed):
    generator = torch.Generator().manual_seed(seed)
    num, distinct = torch.randint(1, 40, (2,), generator=generator).tolist()
    # Powers make some sources far more frequent than others.
    sources = (torch.rand(num, generator=generator) ** (1 + seed % 4) * distinct).long() * 1000 + 7
    partner = choose_partners(sources, noise(num, seed))
    assert torch.equal(partner.sort().values, torch.arange(num))
    assert own_pairs(sources, partner) == fewest_own_pairs(sources)


@pytest.mark.parametrize("num_repeats", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("num", [16, 17, 63, 256])
def test_repeated_augmentation_never_pairs_an_image_with_itself(num, num_repeats):
    sources = torch.randperm(1000)[:num].repeat_interleave(num_repeats)[:num]
    for seed in range(20):
        assert own_pairs(sources, choose_partners(sources, noise(num, seed))) == 0


def test_pairing_by_roll_would_pair_copies():
    sources = torch.arange(64).repeat_interleave(4)
    assert own_pairs(sources, torch.arange(256).roll(1)) == 192


@pytest.mark.parametrize("num", [1, 2, 5, 32])
def test_a_batch_of_one_source_is_still_permuted(num):
    partner = choose_partners(torch.full((num,), 3), noise(num))
    assert torch.equal(partner.sort().values, torch.arange(num))


def test_noise_with_ties_at_the_edges_of_its_range_gives_the_fewest_pairs():
    sources = torch.arange(8).repeat_interleave(4)
    for value in (0.0, 1 - 2**-24):
        assert own_pairs(sources, choose_partners(sources, torch.full((32, 3), value))) == 0


@pytest.mark.parametrize("num_repeats", [1, 2])
def test_every_sample_of_another_source_is_an_equally_likely_partner(num_repeats):
    sources = torch.arange(12 // num_repeats).repeat_interleave(num_repeats)
    counts = torch.zeros(12, 12)
    for seed in range(3000):
        counts[torch.arange(12), choose_partners(sources, noise(12, seed))] += 1
    foreign = counts[sources[:, None] != sources]
    assert foreign.sum() == 36000
    assert stats.chisquare(foreign.double()).pvalue > 0.01


def test_copies_of_an_image_meet_different_partners():
    sources = torch.arange(64).repeat_interleave(4)
    met = sources[choose_partners(sources, noise(256))].view(64, 4)
    assert sum(len(row.unique()) for row in met) > 3.5 * 64


def test_equal_noise_gives_equal_pairs():
    sources = torch.arange(40) // 3
    assert torch.equal(choose_partners(sources, noise(40)), choose_partners(sources, noise(40)))
