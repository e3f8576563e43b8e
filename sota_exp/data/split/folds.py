"""Assigns images to folds or parts: stratified by class, groups never cut, the same for a seed on every machine.

A group is what belongs together: photographs of one animal, cuts of one slide, copies of one file.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sota_exp.stages.data import DataSet
from sota_exp.stages.random import key_to_seed

IntArray = NDArray[np.int64]


def assign_folds(labels: IntArray, groups: IntArray, num_folds: int, seed: int | str) -> IntArray:
    """The fold of every image, from 0: int64 [N].

    labels: from 0, int64 [N]. groups: numbers, int64 [N]; images of equal number get the same fold. Where every image
    is a group of its own, two folds differ by at most one image of each class, and by at most one in all.
    """
    if len(np.unique(groups)) < len(groups):
        return assign_groups(labels, groups, [1 / num_folds] * num_folds, seed)
    folds = np.empty_like(labels)
    folds[np.lexsort((draw_keys(len(labels), seed), labels))] = np.arange(len(labels)) % num_folds
    return folds


def assign_groups(labels: IntArray, groups: IntArray, shares: Sequence[float], seed: int | str) -> IntArray:
    """The part of every image, from 0, where each part gets about its share of every class: int64 [N].

    shares: of the parts, sum 1. Groups are placed one by one, the largest first, each where most of its classes is
    missing, counted in shares of the class. No part stays empty where there are as many groups as parts.
    """
    numbers, members = np.unique(groups, return_inverse=True)
    counts = np.zeros((len(numbers), int(labels.max()) + 1))
    np.add.at(counts, (members, labels), 1)
    class_sizes = np.maximum(counts.sum(axis=0), 1)
    missing = np.outer(shares, counts.sum(axis=0))
    place, num_placed = np.zeros(len(numbers), np.int64), np.zeros(len(shares), np.int64)
    order = np.lexsort((draw_keys(len(numbers), seed), -counts.sum(axis=1)))
    for num_left, group in zip(range(len(order), 0, -1), order, strict=True):
        is_open = num_placed == 0 if num_left <= np.count_nonzero(num_placed == 0) else np.ones(len(shares), bool)
        gain = missing @ (counts[group] / class_sizes)
        ranked = np.lexsort((-missing.sum(axis=1), -np.round(gain, 9), ~is_open))
        place[group] = ranked[0]
        missing[ranked[0]] -= counts[group]
        num_placed[ranked[0]] += 1
    return place[members]


def find_groups(data: DataSet, part: str) -> IntArray | None:
    """Which images of a part vary together, copies of a file too: of each the least index of its group, int64 [n].

    None: each is one of its own. Numbers are the same in all parts and splits that do not cut groups.
    """
    indices = data.part(part).numpy()
    digests = data.image_digests[indices].numpy()
    together = digests if data.groups is None else unite_groups(data.groups[indices].numpy(), digests)
    _, first, places = np.unique(together, return_index=True, return_inverse=True)
    return None if len(first) == len(indices) else indices[first][places]


def draw_keys(num: int, seed: int | str) -> NDArray[np.uint64]:
    """Random numbers to sort by, uint64 [num]: the raw stream of PCG64, which is stable across versions of NumPy."""
    return np.random.PCG64(key_to_seed("folds", seed)).random_raw(num)


def unite_groups(first: IntArray, second: IntArray) -> IntArray:
    """The finest groups that neither grouping cuts: int64 [N]. first, second: numbers of groups, int64 [N]."""
    from scipy.sparse import coo_array  # which takes longer to import than most data to be opened
    from scipy.sparse.csgraph import connected_components

    (numbers, members), (others, kin) = (np.unique(each, return_inverse=True) for each in (first, second))
    size = len(numbers) + len(others)
    links = coo_array((np.ones(len(first)), (members, len(numbers) + kin)), (size, size))
    _, found = connected_components(links, directed=False)
    return np.asarray(found[members], np.int64)
