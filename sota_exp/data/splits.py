"""Splits a data set: stratified by class, exact in number, and identical for a seed on every machine.

The random order comes from the raw stream of PCG64, which is stable across versions of NumPy.
"""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from sota_exp.config.experiment import ScaleSettings
from sota_exp.stages.data import DataSet
from sota_exp.stages.random import key_to_seed


def compute_class_quotas(counts: np.ndarray, num: int, kept: int) -> np.ndarray:
    """The number of samples per class that sum to `num`, by the largest remainder method: int64 [C].

    counts: images per class [C]. kept: images that stay behind in every class. A class with more gets at least one
    where `num` allows; so the sum is exactly `num` unless `num` exceeds what the classes can give.
    """
    most = np.maximum(counts - kept, 0)
    num = min(num, int(most.sum()))
    least = np.minimum(most, 1) if num >= np.count_nonzero(most) else np.zeros_like(counts)
    exact = num * counts / max(int(counts.sum()), 1)
    quotas = np.clip(np.floor(exact).astype(np.int64), least, most)
    while (missing := num - int(quotas.sum())) != 0:
        step = 1 if missing > 0 else -1
        open_classes = quotas < most if step > 0 else quotas > least
        quotas[np.argmax(np.where(open_classes, step * (exact - quotas), -np.inf))] += step
    return quotas


def draw_stratified(indices: np.ndarray, labels: np.ndarray, num: int, seed: int | str, kept: int = 1) -> np.ndarray:
    """A random sample of `num` of `indices`, stratified by class: int64 [num], ascending.

    indices: int64 [M] into labels; labels: int64 [N]. kept: images of every class that are not drawn.
    """
    keys = np.random.PCG64(key_to_seed("split", seed)).random_raw(len(labels))[indices]
    order = np.lexsort((keys, labels[indices]))
    counts = np.bincount(labels[indices])
    rank = np.arange(len(indices)) - np.repeat(np.cumsum(counts) - counts, counts)
    taken = rank < np.repeat(compute_class_quotas(counts, num, kept), counts)
    return np.sort(indices[order[taken]])


def split_off(indices: np.ndarray, labels: np.ndarray, num: int, seed: int | str) -> tuple[np.ndarray, np.ndarray]:
    """Split off `num` of `indices` [M], stratified: (the rest, the `num`), both int64, ascending."""
    taken = draw_stratified(indices, labels, num, seed)
    return np.setdiff1d(indices, taken), taken


def round_share(fraction: float, num: int) -> int:
    """`fraction` (in [0, 1]) of `num`, rounded half up, at least one."""
    return max(1, int(fraction * num + 0.5))


def limit_indices(indices: np.ndarray, labels: np.ndarray, num: int, seed: int | str) -> np.ndarray:
    """At most `num` of `indices` [M], stratified; all of them where M ≤ num."""
    return indices if len(indices) <= num else draw_stratified(indices, labels, num, seed, kept=0)


def limit_data_set(data: DataSet, scale: ScaleSettings) -> DataSet:
    """The data set with as many images per split as the scale allows, or all; stratified, and always the same ones."""

    def part(indices: Tensor, num: int | None) -> Tensor:
        if num is None:
            return indices
        return torch.from_numpy(limit_indices(indices.numpy(), data.labels.numpy(), num, seed=0))

    return replace(
        data,
        train=part(data.train, scale.train_images),
        val=part(data.val, scale.eval_images),
        test=part(data.test, scale.eval_images),
    )
