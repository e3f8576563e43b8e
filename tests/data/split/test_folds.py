import hashlib

import numpy as np
import pytest

from sota_exp.data.split.folds import assign_folds, assign_groups, unite_groups
from tests.rows import each_row


def alone(labels):
    return np.arange(len(labels))


def table(folds, labels, num_folds):
    """Images per fold and class, [folds, C]."""
    return np.stack([np.bincount(labels[folds == fold], minlength=labels.max() + 1) for fold in range(num_folds)])


@each_row("seed", range(30))
def test_folds_differ_by_at_most_one_image_of_each_class_and_in_all(seed):
    rng = np.random.default_rng(seed)
    labels = rng.choice(int(rng.integers(2, 12)), size=int(rng.integers(20, 400)))
    num_folds = int(rng.integers(2, 11))
    folds = assign_folds(labels, alone(labels), num_folds, seed)
    counts = table(folds, labels, num_folds)
    assert set(folds) == set(range(num_folds))  # and an array has one fold for each image
    assert (np.ptp(counts, axis=0) <= 1).all() and np.ptp(counts.sum(axis=1)) <= 1


@each_row("seed", range(30))
def test_groups_are_never_cut_and_folds_are_nearly_equal(seed):
    rng = np.random.default_rng(seed)
    groups = rng.integers(int(rng.integers(40, 120)), size=int(rng.integers(150, 400)))
    of_group = rng.integers(3, size=groups.max() + 1)
    mixed = rng.random(len(groups)) < 0.1  # groups may have images of several classes
    labels = np.where(mixed, rng.integers(3, size=len(groups)), of_group[groups])
    num_folds = int(rng.integers(2, 6))
    folds = assign_folds(labels, groups, num_folds, seed)
    assert all(len(set(folds[groups == group])) == 1 for group in set(groups))
    largest = np.bincount(groups).max()
    counts = table(folds, labels, num_folds)
    assert (np.ptp(counts, axis=0) <= 2 * largest).all() and np.ptp(counts.sum(axis=1)) <= 2 * largest
    sizes, num = np.bincount(labels), len(labels)
    assert (np.abs(counts - sizes / num_folds).sum(axis=1) <= 0.35 * num / num_folds + largest).all()


def test_as_many_groups_as_folds_are_a_fold_each():
    groups = np.repeat([0, 1, 2], [40, 5, 1])
    folds = assign_folds(groups % 2, groups, 3, seed=0)
    assert sorted(set(folds)) == [0, 1, 2] and len(np.unique(folds[groups == 0])) == 1


@pytest.mark.parametrize("share", [0.1, 0.25, 0.4])
def test_parts_get_their_shares_of_every_class(share):
    groups = np.arange(600) // 3
    labels = (groups % 10 == 0).astype(int) + (groups % 3 == 0)
    parts = assign_groups(labels, groups, [1 - share, share], seed=4)
    shares = [(parts[labels == label] == 1).mean() for label in range(3)]
    assert shares == pytest.approx([share] * 3, abs=0.07)
    assert (parts == 1).mean() == pytest.approx(share, abs=0.01)


def test_another_seed_gives_other_folds_and_the_same_seed_the_same_on_every_machine():
    labels = np.arange(120) % 4
    by_seed = [assign_folds(labels, alone(labels), 5, seed) for seed in ("0/0", "0/1", "0/0")]
    assert (by_seed[0] == by_seed[2]).all() and (by_seed[0] != by_seed[1]).mean() > 0.5
    grouped = assign_folds(labels, np.arange(120) // 2, 5, "0/0")
    digests = [hashlib.sha256(each.tobytes()).hexdigest()[:8] for each in (by_seed[0], grouped)]
    assert digests == ["fd2f3283", "18871fe0"]


def test_copies_bind_groups_together():
    groups, digests = np.array([0, 0, 1, 1, 2, 3]), np.array([7, 8, 8, 9, 5, 6])
    united = unite_groups(groups, digests)
    assert len(set(united[:4])) == 1 and len(set(united)) == 3
    assert len(set(unite_groups(np.arange(4), np.arange(4)))) == 4
