"""Cutting a set into parts: stratified by class, exact in number, and the same for a seed on every machine.

The random order comes from the raw stream of PCG64, which NumPy keeps stable across versions.
"""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from sota_exp.config.experiment import Scale
from sota_exp.stages.data import DataSet
from sota_exp.stages.random import key_to_seed


def class_quotas(counts: np.ndarray, num: int) -> np.ndarray:
    """How many of `num` samples each class gives, by largest remainder: int64 [C].

    counts: images per class [C]. Every class with two images or more gives at least one where `num` allows, and none gives
    its last; so `num` is met exactly unless it exceeds what may be given.
    """
    most = np.maximum(counts - 1, 0)
    num = min(num, int(most.sum()))
    least = np.minimum(most, 1) if num >= np.count_nonzero(most) else np.zeros_like(counts)
    exact = num * counts / max(int(counts.sum()), 1)
    quotas = np.clip(np.floor(exact).astype(np.int64), least, most)
    while (missing := num - int(quotas.sum())) != 0:
        step = 1 if missing > 0 else -1
        open_classes = quotas < most if step > 0 else quotas > least
        quotas[np.argmax(np.where(open_classes, step * (exact - quotas), -np.inf))] += step
    return quotas


def stratified(indices: np.ndarray, labels: np.ndarray, num: int, seed: int | str) -> np.ndarray:
    """`num` of `indices`, each class in proportion, drawn by `seed`: int64, ascending.

    indices: int64 [M] into labels; labels: int64 [N].
    """
    keys = np.random.PCG64(key_to_seed("split", seed)).random_raw(len(labels))[indices]
    order = np.lexsort((keys, labels[indices]))
    counts = np.bincount(labels[indices])
    rank = np.arange(len(indices)) - np.repeat(np.cumsum(counts) - counts, counts)
    taken = rank < np.repeat(class_quotas(counts, num), counts)
    return np.sort(indices[order[taken]])


def cut(indices: np.ndarray, labels: np.ndarray, num: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(the rest, the `num` cut out), both ascending."""
    taken = stratified(indices, labels, num, seed)
    return np.setdiff1d(indices, taken), taken


def share(fraction: float, num: int) -> int:
    """`fraction` of `num`, rounded half up, at least one."""
    return max(1, int(fraction * num + 0.5))


def subset(indices: np.ndarray, labels: np.ndarray, num: int, seed: int) -> np.ndarray:
    """At most `num` of `indices`, stratified: all of them where there are no more."""
    return indices if len(indices) <= num else stratified(indices, labels, num, seed)


def limited(data: DataSet, scale: Scale) -> DataSet:
    """The set with at most as many images a split as the scale allows, stratified; never a different choice by chance."""

    def part(indices: Tensor, num: int | None) -> Tensor:
        if num is None:
            return indices
        return torch.from_numpy(subset(indices.numpy(), data.labels.numpy(), num, seed=0))

    return replace(
        data,
        train=part(data.train, scale.train_images),
        val=part(data.val, scale.eval_images),
        test=part(data.test, scale.eval_images),
    )
