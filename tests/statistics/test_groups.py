"""Images that vary together: groups of one change nothing, copies count once, intervals contain the truth."""

import numpy as np
import pytest

from sota_exp.statistics.groups import Groups, count_independent
from sota_exp.statistics.paired import bonett_price_interval
from sota_exp.statistics.planned_effect import estimate_noise, estimate_noise_of_folds
from sota_exp.statistics.pooled import pool_groups
from sota_exp.statistics.two_sources import combine_crossed, combine_folds
from tests.rows import each_row

RNG = np.random.default_rng(0)
NUM, FOLDS = 60, 5


def folds_of(of_image: np.ndarray, groups: np.ndarray, repeats: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Differences of folds that cut no group, and the images of each. of_image: [repeats · FOLDS, N]."""
    images = []
    for _ in range(repeats):
        fold = RNG.permutation(len(np.unique(groups))) % FOLDS
        images += [np.flatnonzero(fold[groups] == number) for number in range(FOLDS)]
    return [row[each] for row, each in zip(of_image, images, strict=True)], images


def test_groups_of_one_image_are_as_no_groups():
    table, names = RNG.normal(size=(10, NUM)), np.arange(NUM) * 3
    assert combine_crossed(table, groups=names) == combine_crossed(table)
    assert estimate_noise(table, names) == estimate_noise(table)
    assert Groups.read(names, NUM).df == pytest.approx(NUM - 1)
    rows, images = folds_of(table, np.arange(NUM), 2)
    found, expected = combine_folds(rows, [names[each] for each in images]), combine_folds(rows, images)
    assert [found.variance, found.df, found.lasting] == pytest.approx(
        [expected.variance, expected.df, expected.lasting]
    )
    assert pool_groups([[3, 1], [2]], [[3, 1], [2]]) is None
    assert pool_groups([[3, 1], [2], [1]], [[1, 1], [2], [1]]).tolist() == [1, 2, 1]


@pytest.mark.parametrize("copies", [2, 5])
def test_copies_of_every_image_count_once(copies: int):
    """The estimated noise is that of the images without their copies; only Bonett and Price's two images weigh less."""
    once = RNG.normal(size=(10, NUM))
    table, groups = np.repeat(once, copies, axis=1), np.repeat(np.arange(NUM), copies)
    alone, found = estimate_noise(once), estimate_noise(table, groups)
    assert [found.seeds, found.images, found.both] == pytest.approx(
        [alone.seeds, copies * alone.images, copies * alone.both]
    )
    assert combine_crossed(table, groups=groups).variance == pytest.approx(combine_crossed(once).variance, rel=0.08)
    rows, images = folds_of(once, np.arange(NUM), 2)
    many = [np.repeat(row, copies) for row in rows], [np.repeat(each, copies) for each in images]
    found, expected = combine_folds(*many), combine_folds(rows, images)
    assert [found.mean, found.variance, found.df, found.lasting] == pytest.approx(
        [expected.mean, expected.variance, expected.df, expected.lasting]
    )
    noise, of_one = estimate_noise_of_folds(*many), estimate_noise_of_folds(rows, images)
    assert [noise.seeds, noise.images, noise.both + noise.seeds] == pytest.approx(
        [of_one.seeds, copies * of_one.images, copies * (of_one.both + of_one.seeds)]
    )
    right = RNG.random(NUM) < 0.7
    expected = count_independent(right, np.arange(NUM))
    assert count_independent(np.repeat(right, copies), np.repeat(np.arange(NUM), copies)) == pytest.approx(
        expected, rel=0.05
    )


@pytest.mark.parametrize(("right", "groups", "expected"), [
    ([1] * 10, [0] * 5 + [1] * 5, 1.0),  # two groups say little, whatever they have
    ([1, 0] * 20, np.repeat(range(20), 2), 37.4),  # groups that are all alike: never more than the images
    ([1, 0, 1], [4, 4, 4], 1.0),  # one group says no more than one image
    ([1], [0], 1.0),
])  # fmt: skip
def test_as_many_images_as_are_independent(right, groups, expected: float):
    assert count_independent(right, groups) == pytest.approx(expected, abs=0.5)


def draw(rng: np.random.Generator, sizes: tuple[int, ...], num_runs: int) -> tuple[np.ndarray, np.ndarray]:
    """Differences of mean 0 [S, N] that vary by group and by image, and the groups [N]."""
    groups = np.repeat(np.arange(len(sizes)), sizes)
    shape = (num_runs, len(groups))
    of_group = 0.3 * rng.normal(size=len(sizes))[groups] + 0.1 * rng.normal(size=(num_runs, len(sizes)))[:, groups]
    return of_group + 0.2 * rng.normal(size=len(groups)) + 0.3 * rng.normal(size=shape), groups


@each_row("sizes", [(6,) * 40, (12,) * 10, (24,) * 4, (1, 2, 3, 4, 5, 10) * 6, (30,) * 2 + (3,) * 30])
def test_intervals_of_groups_contain_the_truth(sizes: tuple[int, ...]):
    """Of 200 data sets; where images count as drawn by themselves, a third to half of them do not."""
    rng, hits, alone = np.random.default_rng(5), np.zeros(3), 0
    for _ in range(200):
        table, groups = draw(rng, sizes, 6)
        found = combine_crossed(table, groups=groups)
        number = rng.permutation(len(sizes)) % 2  # two folds, three times
        tested = [np.flatnonzero(number[groups] == fold) for fold in (0, 1)] * 3
        folds = combine_folds(
            [row[each] for row, each in zip(table, tested, strict=True)], [groups[each] for each in tested]
        )
        ends = [each.find_interval() for each in (found, folds, combine_crossed(table))]
        same_runs = bonett_price_interval(np.zeros_like(table), table, groups=groups)
        hits += [each.low <= 0 <= each.high for each in (*ends[:2], same_runs)]
        alone += ends[2].low <= 0 <= ends[2].high
    assert (hits / 200 > (0.91, 0.91, 0.89)).all(), hits / 200
    assert alone / 200 < 0.85


def test_other_numbers_of_groups_than_images_are_refused():
    for call in (lambda: combine_crossed(np.ones((2, 3)), groups=[1, 2]), lambda: count_independent([1, 0], [1])):
        with pytest.raises(ValueError, match="the groups of"):
            call()
    with pytest.raises(ValueError, match="no images"):
        count_independent([], [])
