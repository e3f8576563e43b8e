"""Label propagation compared with a dense solve, and without labels or similar images."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor
from torch.nn.functional import normalize

from sota_exp import CONF
from sota_exp.stages.augmentation import Sampler, Shuffle
from sota_exp.stages.random import RandomStreams
from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.augmentation.repeat.repeated import RepeatedAugmentation
from sota_exp.techniques.supervision.label_propagation import (
    CHUNK_ROWS,
    LabelPropagation,
    build_graph,
    compute_class_weights,
    find_nearest_neighbors,
    infer_labels,
    propagate,
    sample_labelled,
)

STREAMS = RandomStreams(seed=3)


def made(**fields: Any) -> LabelPropagation:
    defaults = yaml.safe_load((CONF / "supervision" / "label_propagation.yaml").read_text())
    del defaults["_target_"]
    return LabelPropagation(**{**defaults, **fields})


def clusters(num: int = 90, classes: int = 3, dims: int = 8) -> tuple[Tensor, Tensor]:
    """Unit vectors around one direction per class, and their labels."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(num) % classes
    centres = torch.eye(dims)[labels]
    return normalize(centres + 0.25 * torch.randn(num, dims, generator=generator), dim=1), labels


def dense_solution(features: Tensor, k: int, gamma: float, alpha: float, given: Tensor) -> Tensor:
    """The same formulas with dense matrices in double precision."""
    similarity = (features @ features.T).double()
    similarity.fill_diagonal_(-torch.inf)
    kept = torch.zeros_like(similarity)
    for row in range(len(kept)):
        nearest = similarity[row].argsort(descending=True)[:k]
        kept[row, nearest] = similarity[row, nearest].clamp(min=0) ** gamma
    both = kept + kept.T
    root = both.sum(1).clamp(min=1e-300).rsqrt() * (both.sum(1) > 0)
    weights = root[:, None] * both * root
    return torch.linalg.solve(torch.eye(len(kept), dtype=torch.double) - alpha * weights, given)


def given_labels(labels: Tensor, labelled: Tensor, num_classes: int) -> Tensor:
    marks = torch.zeros(len(labels), num_classes, dtype=torch.double)
    marks[labelled, labels[labelled]] = 1
    return marks / marks.sum(0).clamp(min=1)


def test_neighbors_are_the_most_similar_others_in_chunks_too() -> None:
    generator = torch.Generator().manual_seed(1)
    features = normalize(torch.randn(CHUNK_ROWS + 7, 6, generator=generator), dim=1)
    similarities, neighbors = find_nearest_neighbors(features, 5)
    whole = features @ features.T
    whole.fill_diagonal_(-torch.inf)
    expected = whole.topk(5, dim=1)
    torch.testing.assert_close(similarities, expected.values)
    assert not (neighbors == torch.arange(len(features))[:, None]).any()
    assert find_nearest_neighbors(features[:4], 50)[1].shape == (4, 3)


@pytest.mark.parametrize("alpha", [0.5, 0.99])
def test_agrees_with_a_dense_solve(alpha: float) -> None:
    features, labels = clusters()
    labelled = torch.tensor([0, 1, 2, 3, 31])
    weights = build_graph(*find_nearest_neighbors(features, 10), 3.0)
    solved = propagate(weights, labels, labelled, 3, alpha, 500, 1e-12)
    expected = dense_solution(features, 10, 3.0, alpha, given_labels(labels, labelled, 3))
    torch.testing.assert_close(solved, expected, rtol=1e-6, atol=1e-9)


def test_twenty_iterations_give_the_labels_of_the_dense_solve() -> None:
    features, labels = clusters()
    labelled = torch.tensor([0, 1, 2])
    weights = build_graph(*find_nearest_neighbors(features, 10), 3.0)
    found, certainty = infer_labels(propagate(weights, labels, labelled, 3, 0.99, 20, 1e-6))
    expected = dense_solution(features, 10, 3.0, 0.99, given_labels(labels, labelled, 3))
    assert (found == expected.argmax(1)).all()
    assert (found == labels).double().mean() > 0.95
    assert certainty.max() == 1
    assert certainty.min() >= 0


def test_an_empty_class_and_an_isolated_image_give_no_nan() -> None:
    """Class 3 has no label. Image 4 is similar to no other: its weight is 0, not the maximum."""
    features, labels = clusters()
    features = torch.cat([features, torch.zeros(90, 1)], 1)
    features[4] = torch.eye(9)[8] * -1
    labelled = torch.tensor([0, 1, 2])
    solution = propagate(build_graph(*find_nearest_neighbors(features, 10), 3.0), labels, labelled, 4, 0.99, 20, 1e-6)
    found, certainty = infer_labels(solution)
    assert solution.isfinite().all()
    assert certainty.isfinite().all()
    assert (solution[:, 3] == 0).all()
    assert (solution[4] == 0).all()
    assert certainty[4] == 0
    assert not (found == 3).any()
    result = made(labels_only=0.1, num_neighbors=10)(labels, 4, 0.5, lambda: features, STREAMS)
    assert result.weights.isfinite().all()
    assert result.weights[4] == 0


def test_all_zero_features_leave_the_true_labels_alone() -> None:
    labels = torch.arange(12) % 3
    stage = made(labelled_fraction=0.25)
    result = stage(labels, 3, 0.9, lambda: torch.zeros(12, 5), STREAMS)
    assert result.weights.nonzero()[:, 0].tolist() == stage.choose_labelled(labels, STREAMS).tolist()
    assert result.weights.isfinite().all()
    assert np.isfinite(list(result.metrics.values())).all()


def test_certainty_is_one_minus_relative_entropy_over_its_maximum() -> None:
    found, certainty = infer_labels(torch.tensor([[1.0, 0, 0], [2, 2, 0], [1, 1, 1], [-5, 3, 1]], dtype=torch.double))
    half, quarter = 1 - np.log(2) / np.log(3), 1 + (0.75 * np.log(0.75) + 0.25 * np.log(0.25)) / np.log(3)
    assert certainty.tolist() == pytest.approx([1, half, 0, quarter], abs=1e-6)
    assert found[[0, 3]].tolist() == [0, 1]


def test_class_weights_balance_classes() -> None:
    labels = torch.tensor([0] * 6 + [1] * 3 + [3] * 3)
    weights = compute_class_weights(labels, 4)
    assert weights[[0, 1, 3]].tolist() == [0.5, 1.0, 1.0]
    assert weights[labels].sum() == 9  # three classes with images, 3 each


def test_true_labels_stay_with_certainty_one_times_the_class_weight() -> None:
    features, labels = clusters()
    stage = made(labelled_fraction=0.1, num_neighbors=10)
    labelled = stage.choose_labelled(labels, STREAMS)
    one = stage(labels, 3, 0.5, lambda: features, STREAMS)
    assert (one.labels[labelled] == labels[labelled]).all()
    balance = compute_class_weights(one.labels, 3)[one.labels]
    torch.testing.assert_close(one.weights[labelled], balance[labelled])
    assert one.metrics["train/pseudo_label_accuracy"] > 0.9


def test_hidden_labels_are_never_read(tmp_path: Path) -> None:
    features, labels = clusters()
    (tmp_path / "labelled.txt").write_text("0\n1\n2\n5\n")
    stage = made(labelled_file=str(tmp_path / "labelled.txt"), num_neighbors=10)
    hidden = torch.ones(90, dtype=torch.bool).index_fill(0, torch.tensor([0, 1, 2, 5]), False)
    other = torch.where(hidden, 2 - labels, labels)
    one, two = (stage(given, 3, 0.5, lambda: features, STREAMS) for given in (labels, other))
    assert (one.labels == two.labels).all()
    assert (one.weights == two.weights).all()
    assert one.metrics != two.metrics


def test_the_labelled_part_is_stratified_keyed_and_repeatable() -> None:
    labels = torch.tensor([0] * 200 + [1] * 40 + [2] * 3)
    part = sample_labelled(labels, 0.1, STREAMS)
    assert labels[part].bincount().tolist() == [20, 4, 1]
    assert torch.equal(part, sample_labelled(labels, 0.1, STREAMS))
    assert not torch.equal(part, sample_labelled(labels, 0.1, RandomStreams(seed=4)))


@pytest.mark.parametrize("text", ["", "0\n90\n", "one\n", "-1\n"])
def test_a_file_that_does_not_list_positions_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "labelled.txt").write_text(text)
    with pytest.raises(InvalidValue, match="labelled_file"):
        made(labelled_file=str(tmp_path / "labelled.txt")).choose_labelled(torch.zeros(90, dtype=torch.long), STREAMS)


def test_the_content_of_the_file_counts_and_not_its_place(tmp_path: Path) -> None:
    for name, text in (("a", "0\n"), ("b", "0\n"), ("c", "1\n")):
        (tmp_path / name).write_text(text)
    a, b, c = (made(labelled_file=str(tmp_path / name)).content_hash() for name in "abc")
    assert a == b != c
    assert made().content_hash() == ""


@pytest.mark.parametrize("inner", [Shuffle(), RepeatedAugmentation(num_repeats=4)])
def test_batches_hold_a_fixed_number_of_labelled_images(inner: Sampler) -> None:
    labels = torch.arange(1000) % 10
    stage = made(labelled_fraction=0.05, labels_only=0.5, labelled_share=0.25)
    labelled = set(stage.choose_labelled(labels, STREAMS).tolist())
    sampler = stage.sampler(inner, labels, 10, 64)
    first, second = sampler(1000, 4, STREAMS), sampler(1000, 5, STREAMS)
    assert len(first) == len(second) == 1000 // 64 * 64
    assert set(first.tolist()) <= labelled
    for batch in second.view(-1, 64):
        places = [index for index, position in enumerate(batch.tolist()) if position in labelled]
        assert len(places) == 16
        assert max(np.diff(places)) == 4
    assert torch.equal(second, sampler(1000, 5, STREAMS))
    assert not torch.equal(second, sampler(1000, 6, STREAMS))


@pytest.mark.parametrize("world_size", [2, 4, 8])
def test_every_process_gets_its_share_of_labelled_images_evenly_spread(world_size: int) -> None:
    """A process takes every world_size-th sample of the batch; half of the batch is labelled."""
    labels = torch.arange(1000) % 10
    stage = made(labelled_fraction=0.05, labels_only=0.5, labelled_share=0.5)
    labelled = set(stage.choose_labelled(labels, STREAMS).tolist())
    order = stage.sampler(Shuffle(), labels, 10, 64)(1000, 5, replace(STREAMS, world_size=world_size))
    for rank in range(world_size):
        mine = [position in labelled for position in order[:64][rank::world_size].tolist()]
        assert mine == [False, True] * (32 // world_size)


def test_every_unlabelled_image_is_drawn_at_most_once_per_epoch_and_labelled_ones_equally_often() -> None:
    labels = torch.arange(1000) % 10
    stage = made(labelled_fraction=0.05, labels_only=0.5, labelled_share=0.5)
    labelled = stage.choose_labelled(labels, STREAMS)
    counts = stage.sampler(Shuffle(), labels, 10, 64)(1000, 5, STREAMS).bincount(minlength=1000)
    assert counts[labelled].max() - counts[labelled].min() <= 1
    counts[labelled] = 0
    assert counts.max() == 1


class RecordingShuffle(Sampler):
    """A shuffle that remembers the size of the pool and the number of each pass."""

    def __init__(self) -> None:
        self.passes: list[tuple[int, int, int]] = []

    def __call__(self, num_samples: int, epoch: int, streams: RandomStreams) -> Tensor:
        self.passes.append((streams.seed, num_samples, epoch))
        return Shuffle()(num_samples, epoch, streams)


@pytest.mark.parametrize(("share", "labels_only"), [(0.3, 0.3), (0.5, 0.5), (0.1, 0.2)])
def test_no_pass_over_a_pool_has_the_order_of_another_pass(share: float, labels_only: float) -> None:
    """Nor across the switch at `labels_only`, where an epoch needs fewer passes over the labelled images."""
    labels, inner = torch.arange(1000) % 10, RecordingShuffle()
    stage = made(labelled_fraction=0.05, labels_only=labels_only, labelled_share=share)
    sampler = stage.sampler(inner, labels, 20, 64)
    for epoch in range(20):
        sampler(1000, epoch, STREAMS)
    assert len(set(inner.passes)) == len(inner.passes) > 100


def test_with_every_label_known_it_trains_on_all_of_them() -> None:
    labels = torch.arange(128) % 2
    order = made(labelled_fraction=1.0).sampler(Shuffle(), labels, 10, 32)(128, 9, STREAMS)
    assert sorted(order.tolist()) == list(range(128))


def test_no_features_are_computed_while_only_labels_are_used() -> None:
    def no_features() -> Tensor:
        raise AssertionError("features were asked for")

    _, labels = clusters()
    found = made(labels_only=0.5)(labels, 3, 0.4, no_features, STREAMS)
    assert found.metrics == {}
    assert (found.weights == 1).sum() == len(made().choose_labelled(labels, STREAMS))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("labelled_fraction", 0.0),
        ("labelled_file", "nowhere.txt"),
        ("labels_only", 0.0),
        ("labelled_share", 1.0),
        ("num_neighbors", 0),
        ("alpha", 1.0),
        ("gamma", 0.0),
        ("max_iterations", 0),
        ("tolerance", 0.0),
    ],
)
def test_values_out_of_range_are_refused(field: str, value: object) -> None:
    with pytest.raises(InvalidValue, match=field):
        made(**{field: value})
