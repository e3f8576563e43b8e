"""Label propagation: trains with a part of the labels and infers the others from a graph of similar images.

s_ij = max(⟨f_i, f_j⟩, 0) over the k nearest neighbours of i in the features f, A = s^gamma, W = D^−½ (A + Aᵀ) D^−½; (I
− alpha·W) Z = Y, where column c of Y is 1 / (number of labelled images of class c) at these images, 0 elsewhere. With
p_i = Z_i / sum(Z_i), an unlabelled image i gets the label argmax p_i and the weight (1 − H(p_i) / log C), divided by
the largest such weight; class c is also weighted by (N / C) / |c|. Until the fraction `labels_only` of training only
labelled images are used. Then a new graph is built every epoch, from the features of the averaged weights if there are
any (at a high learning rate those of the raw weights are noisier), and the fraction `labelled_share` of every batch is
labelled. Hidden true labels only enter the metrics.

Paper: Iscen et al. 2019, Label Propagation for Deep Semi-supervised Learning, arXiv 1904.04717; Zhou et al. 2004 (NIPS)
Setting: k 50, alpha 0.99, gamma 3, half of each batch labelled: CIFAR-10 with 4,000 labels, error 12.7 %
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from os.path import isfile
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import cg
from scipy.special import xlogy
from torch import Tensor

from sota_exp.stages.augmentation import Sampler
from sota_exp.stages.random import RandomStreams, key_to_seed
from sota_exp.stages.stage import Count, FractionAboveZero, FractionInside, Legal, Positive, require
from sota_exp.stages.supervision import EpochLabels, Supervision

#: Rows of similarities computed at a time; 1,024 × 50,000 float32 values take 200 MB.
CHUNK_ROWS = 1024


def find_nearest_neighbors(features: Tensor, num_neighbors: int) -> tuple[Tensor, Tensor]:
    """Largest inner products of each row of features [N, D] with other rows, float32 [N, k], and their indices.

    Computed where the features are; both results are on the CPU.
    """
    similarities, neighbors = [], []
    for start in range(0, len(features), CHUNK_ROWS):
        products = features[start : start + CHUNK_ROWS] @ features.T
        products.diagonal(start).fill_(-torch.inf)
        best = products.topk(min(num_neighbors, len(features) - 1), dim=1)
        similarities.append(best.values)
        neighbors.append(best.indices)
    return torch.cat(similarities).cpu(), torch.cat(neighbors).cpu()


def build_graph(similarities: Tensor, neighbors: Tensor, gamma: float) -> sparse.csr_array:
    """W = D^−½ (A + Aᵀ) D^−½, [N, N], from [N, k] neighbours, A = max(s, 0)^gamma; an isolated image has a zero row."""
    num, k = similarities.shape
    weights = similarities.double().clamp(min=0).pow(gamma).flatten().numpy()
    rows = np.repeat(np.arange(num), k)
    directed = sparse.csr_array((weights, (rows, neighbors.flatten().numpy())), shape=(num, num))
    symmetric = directed + directed.T
    degrees = np.asarray(symmetric.sum(axis=1)).ravel()
    scale = sparse.diags_array(np.divide(1, np.sqrt(degrees), out=np.zeros(num), where=degrees > 0))
    return sparse.csr_array(scale @ symmetric @ scale)


def propagate(
    weights: sparse.csr_array,
    labels: Tensor,
    labelled: Tensor,
    num_classes: int,
    alpha: float,
    max_iterations: int,
    tolerance: float,
) -> Tensor:
    """Solve (I − alpha·W) Z = Y by conjugate gradients per class: float64 [N, C]; 0 for a class without labels.

    labels: int64 [N], read only at the indices `labelled`, int64 [L].
    """
    num = len(labels)
    system = sparse.csr_array(sparse.eye_array(num) - alpha * weights)
    solution = np.zeros((num, num_classes))
    for index in labels[labelled].unique().tolist():
        members = labelled[labels[labelled] == index].numpy()
        column = np.zeros(num)
        column[members] = 1 / len(members)
        solution[:, index], _ = cg(system, column, rtol=tolerance, maxiter=max_iterations)
    return torch.from_numpy(solution)


def infer_labels(solution: Tensor) -> tuple[Tensor, Tensor]:
    """Z [N, C] → most likely classes, int64 [N], and certainties in [0, 1], float32 [N]: 0 for rows without mass."""
    mass = solution.clamp(min=0).numpy()
    total = mass.sum(axis=1, keepdims=True)
    shares = np.divide(mass, total, out=np.zeros_like(mass), where=total > 0)
    entropy = -xlogy(shares, shares).sum(axis=1)
    # A row of zeros has entropy 0, which would make it the most certain of all.
    certainty = np.where(total[:, 0] > 0, 1 - entropy / np.log(mass.shape[1]), 0).clip(0, 1)
    certainty = certainty / certainty.max() if certainty.max() > 0 else certainty
    return torch.from_numpy(shares.argmax(axis=1)), torch.from_numpy(certainty).float()


def compute_class_weights(labels: Tensor, num_classes: int) -> Tensor:
    """(N / C) / |c| for each class c, from labels int64 [N]: float32 [C]; N / C for a class without images."""
    return len(labels) / num_classes / labels.bincount(minlength=num_classes).clamp(min=1)


def sample_labelled(labels: Tensor, fraction: float, streams: RandomStreams) -> Tensor:
    """Labels int64 [N] → indices of a random `fraction` of each class (at least one image): int64 [L], ascending."""
    shuffled = torch.randperm(len(labels), generator=streams.generator("supervision", "labelled"))
    order = shuffled[labels[shuffled].argsort(stable=True)]
    counts = labels.bincount()
    rank = torch.arange(len(labels)) - (counts.cumsum(0) - counts).repeat_interleave(counts)
    quotas = (counts * fraction + 0.5).long().clamp(min=1)
    return order[rank < quotas.repeat_interleave(counts)].sort().values


def read_positions(path: str, num: int) -> Tensor:
    """Indices of training images, one per line of the file `path`: int64 [L], ascending, unique.

    Raises:
        InvalidValue: the file contains anything but integers from 0 to num − 1.
    """
    words = Path(path).read_text().split()
    legal = f"a text file with indices of training images, 0 to {num - 1}, one per line"
    require(bool(words) and all(word.isdecimal() and int(word) < num for word in words), "labelled_file", path, legal)
    return torch.tensor([int(word) for word in words]).unique()


def sample_passes(
    pool: Tensor, num: int, epoch: int, epoch_size: int, inner: Sampler, streams: RandomStreams
) -> Tensor:
    """`num` samples of `pool`, int64 [P] → int64 [num]: passes in `inner`'s order; each epoch starts a new pass.

    epoch_size: images in an epoch, at least `num`. It alone numbers the passes, so that none has the order of another
    when `num` changes between epochs.
    """
    first = epoch * -(-epoch_size // max(1, len(pool)))
    order = [inner(len(pool), first + index, streams) for index in range(-(-num // max(1, len(pool))))]
    return pool[torch.cat(order)[:num]] if order else pool[:0]


def interleave_pools(labelled: Tensor, others: Tensor, batch_size: int, num_labelled: int, world_size: int) -> Tensor:
    """Order of an epoch, int64 [S · batch_size], with `num_labelled` of `labelled` in each of its S batches.

    labelled: int64 [S · num_labelled]. others: int64 [S · (batch_size − num_labelled)]. Labelled images are evenly
    spread over the samples of each rank, which are every `world_size`-th of the batch.
    """
    position = torch.arange(batch_size)
    is_labelled = (position + 1) * num_labelled // batch_size > position * num_labelled // batch_size
    is_labelled = is_labelled.view(world_size, -1).T.flatten()
    batches = torch.empty(len(labelled) // num_labelled, batch_size, dtype=torch.long)
    batches[:, is_labelled] = labelled.view(-1, num_labelled)
    batches[:, ~is_labelled] = others.view(-1, batch_size - num_labelled)
    return batches.flatten()


def combine_labels(
    labels: Tensor, labelled: Tensor, inferred: Tensor, certainty: Tensor, num_classes: int
) -> EpochLabels:
    """True labels at the indices `labelled`, `inferred` ones (int64 [N]) elsewhere, weighted by certainty and class.

    labels: int64 [N]; those not in `labelled` only enter the metric `train/pseudo_label_accuracy`.
    certainty: float32 [N] in [0, 1].
    """
    hidden = torch.ones(len(labels), dtype=torch.bool).index_fill(0, labelled, False)
    mixed = torch.where(hidden, inferred, labels)
    certainty = torch.where(hidden, certainty, 1.0)
    metrics = {}
    if hidden.any():
        metrics["train/pseudo_label_accuracy"] = (mixed == labels)[hidden].double().mean().item()
        metrics["train/pseudo_label_certainty"] = certainty[hidden].double().mean().item()
    return EpochLabels(
        labels=mixed, weights=certainty * compute_class_weights(mixed, num_classes)[mixed], metrics=metrics
    )


@dataclass(frozen=True, kw_only=True)
class TwoPoolSampler(Sampler):
    """Only labelled images until `labels_only` of training, then `labelled_share` of each batch; labels: int64 [N]."""

    inner: Sampler
    supervision: "LabelPropagation"
    labels: Tensor
    num_epochs: int
    batch_size: int

    composes_batches = True

    def __call__(self, num_samples: int, epoch: int, streams: RandomStreams) -> Tensor:
        num_steps = num_samples // self.batch_size
        num_labelled = max(1, min(self.batch_size - 1, round(self.supervision.labelled_share * self.batch_size)))
        labelled = self.supervision.choose_labelled(self.labels, streams)
        others = torch.ones(num_samples, dtype=torch.bool).index_fill(0, labelled, False).nonzero()[:, 0]
        labelled_streams = replace(streams, seed=key_to_seed(streams.seed, "labelled"))
        if epoch / self.num_epochs < self.supervision.labels_only or len(others) == 0 or self.batch_size == 1:
            return sample_passes(
                labelled, num_steps * self.batch_size, epoch, num_samples, self.inner, labelled_streams
            )
        some = sample_passes(labelled, num_steps * num_labelled, epoch, num_samples, self.inner, labelled_streams)
        num_others = num_steps * (self.batch_size - num_labelled)
        rest = sample_passes(others, num_others, epoch, num_samples, self.inner, streams)
        return interleave_pools(some, rest, self.batch_size, num_labelled, streams.world_size)


@dataclass(frozen=True, kw_only=True)
class LabelPropagation(Supervision):
    """Trains with the labels of `labelled_fraction` of the training images, or of those listed in `labelled_file`."""

    labelled_fraction: FractionAboveZero
    labelled_file: Annotated[str, Legal(isfile, "a text file that exists")] | None
    labels_only: FractionAboveZero
    labelled_share: FractionInside
    num_neighbors: Count
    alpha: FractionInside
    gamma: Positive
    max_iterations: Count
    tolerance: FractionInside

    def content_hash(self) -> str:
        return "" if self.labelled_file is None else hashlib.sha256(Path(self.labelled_file).read_bytes()).hexdigest()

    def choose_labelled(self, labels: Tensor, streams: RandomStreams) -> Tensor:
        """Indices of the images whose labels are used, from labels int64 [N]: int64 [L], ascending."""
        if self.labelled_file is None:
            return sample_labelled(labels, self.labelled_fraction, streams)
        return read_positions(self.labelled_file, len(labels))

    def sampler(self, inner: Sampler, labels: Tensor, num_epochs: int, batch_size: int) -> Sampler:
        return TwoPoolSampler(
            inner=inner, supervision=self, labels=labels, num_epochs=num_epochs, batch_size=batch_size
        )

    def __call__(
        self, labels: Tensor, num_classes: int, progress: float, features: Callable[[], Tensor], streams: RandomStreams
    ) -> EpochLabels:
        labelled = self.choose_labelled(labels, streams)
        if progress < self.labels_only:
            # The sampler draws only labelled images; weight 0 excludes the others in any case.
            return EpochLabels(labels=labels, weights=torch.zeros(len(labels)).index_fill(0, labelled, 1.0))
        weights = build_graph(*find_nearest_neighbors(features(), self.num_neighbors), self.gamma)
        solution = propagate(weights, labels, labelled, num_classes, self.alpha, self.max_iterations, self.tolerance)
        return combine_labels(labels, labelled, *infer_labels(solution), num_classes)
