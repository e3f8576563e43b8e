import itertools

import numpy as np
import pytest

from sota_exp.data.splits import compute_class_quotas, draw_stratified, limit_indices, round_share, split_off
from tests.rows import each_row


@pytest.mark.parametrize(
    ("counts", "num", "quotas"),
    [
        ([50, 50], 10, [5, 5]),
        ([7, 2, 1], 5, [4, 1, 0]),  # the third class keeps its only image
        ([98, 1, 1], 10, [10, 0, 0]),
        ([1000, 10, 10], 10, [8, 1, 1]),  # by proportion alone the small ones would give none
        ([3, 3, 3], 1, [1, 0, 0]),  # fewer than there are classes
        ([1, 1, 1], 2, [0, 0, 0]),
        ([10, 0, 10], 4, [2, 0, 2]),
        ([5, 5], 99, [4, 4]),
        ([40, 35, 25], 7, [3, 2, 2]),  # 2.8, 2.45, 1.75
    ],
)
def test_class_quotas(counts, num, quotas):
    assert compute_class_quotas(np.array(counts), num, kept=1).tolist() == quotas


@pytest.mark.parametrize(
    ("counts", "num", "quotas"),
    [
        ([1, 1, 1], 2, [1, 1, 0]),
        ([7, 2, 1], 5, [3, 1, 1]),
        ([98, 1, 1], 10, [8, 1, 1]),
        ([98, 1, 1], 2, [2, 0, 0]),
        ([5, 0, 5], 10, [5, 0, 5]),
    ],
)
def test_class_quotas_of_a_subset(counts, num, quotas):
    assert compute_class_quotas(np.array(counts), num, kept=0).tolist() == quotas


@each_row("num_classes, per_class", itertools.product([2, 199, 200, 201, 1000], [1, 2, 3]))
def test_a_subset_is_as_large_as_asked_for_any_number_of_classes(num_classes, per_class):
    labels = np.repeat(np.arange(num_classes), per_class)
    chosen = limit_indices(np.arange(len(labels)), labels, 200, seed=0)
    assert len(chosen) == min(200, len(labels))
    assert len(set(labels[chosen])) == min(num_classes, 200)


@each_row("seed", range(20))
def test_quotas_are_exact_and_near_proportion(seed):
    rng = np.random.default_rng(seed)
    counts = rng.integers(2, 400, size=rng.integers(1, 60))
    num = int(rng.integers(len(counts), counts.sum() - len(counts)))
    quotas = compute_class_quotas(counts, num, kept=1)
    assert quotas.sum() == num
    assert (quotas >= 1).all() and (quotas < counts).all()
    lifted = num * counts / counts.sum() < 1
    assert (np.abs(quotas - num * counts / counts.sum())[~lifted] <= 1 + lifted.sum()).all()


def some_labels():
    return np.random.default_rng(0).permutation(np.repeat(np.arange(5), [400, 200, 100, 30, 1]))


def test_cut_loses_no_index():
    labels = some_labels()
    indices = np.flatnonzero(np.arange(len(labels)) % 7)
    rest, taken = split_off(indices, labels, 60, seed=0)
    assert len(taken) == 60
    assert np.array_equal(np.sort(np.concatenate([rest, taken])), indices)
    assert (np.diff(taken) > 0).all() and (np.diff(rest) > 0).all()
    assert set(labels[rest]) == set(labels[indices])
    assert set(labels[taken]) == {0, 1, 2, 3}


def test_a_class_with_one_image_stays_in_train():
    rest, taken = split_off(np.arange(731), some_labels(), 300, seed=3)
    assert 4 in some_labels()[rest] and 4 not in some_labels()[taken]


def test_a_seed_gives_the_same_split_on_every_machine():
    """The literal pins the order of the raw stream: a change of it would move images between splits."""
    taken = draw_stratified(np.arange(731), some_labels(), 8, seed=0)
    assert np.array_equal(taken, draw_stratified(np.arange(731), some_labels(), 8, seed=0))
    labels = np.arange(12) % 2
    assert draw_stratified(np.arange(12), labels, 4, seed=0).tolist() == [4, 5, 7, 8]


def test_seeds_differ_and_cover_evenly():
    labels = np.zeros(40, dtype=np.int64)
    hits = np.zeros(40)
    for seed in range(1000):
        hits[draw_stratified(np.arange(40), labels, 10, seed)] += 1
    # Binomial(1000, 1/4): mean 250, standard deviation 13.7.
    assert hits.min() > 190 and hits.max() < 310


@pytest.mark.parametrize(("num", "length"), [(50, 50), (731, 731), (10_000, 731)])
def test_subset(num, length):
    chosen = limit_indices(np.arange(731), some_labels(), num, seed=0)
    assert len(chosen) == length
    assert len(set(chosen.tolist())) == length


def test_subset_keeps_proportions():
    counts = np.bincount(some_labels()[limit_indices(np.arange(731), some_labels(), 73, seed=5)], minlength=5)
    assert counts.tolist() == [39, 20, 10, 3, 1]


@pytest.mark.parametrize(("fraction", "num", "expected"), [(0.1, 25, 3), (0.1, 24, 2), (0.1, 3, 1), (0.49, 100, 49)])
def test_share(fraction, num, expected):
    assert round_share(fraction, num) == expected
