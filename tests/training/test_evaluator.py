"""Scores against their definitions and other libraries; logits in order for any batch size."""

import math
from dataclasses import replace
from threading import Semaphore

import pytest
import torch
from sklearn import metrics
from sklearn.metrics import confusion_matrix as sklearn_confusion
from sklearn.metrics import log_loss, top_k_accuracy_score
from torch import nn

from sota_exp.stages.evaluation import EvaluationView
from sota_exp.training import evaluator as evaluator_module
from sota_exp.training.distributed import World
from sota_exp.training.evaluator import Evaluator
from sota_exp.training.metrics import (
    compute_class_means,
    compute_confusion_matrix,
    compute_per_class_accuracy,
    compute_scores,
    find_confused_pairs,
)
from sota_exp.training.norm_batches import iterate_norm_batches
from tests.experiments import OFF, TINY, composed, session_of


@pytest.fixture
def predictions():
    torch.manual_seed(0)
    labels = torch.arange(700) % 7
    return nn.functional.one_hot(labels, 7) * 1.5 + torch.randn(700, 7), labels


def test_scores_are_those_of_scikit_learn(predictions):
    logits, labels = predictions
    found = compute_scores(logits, labels)
    assert found["accuracy"] == top_k_accuracy_score(labels, logits, k=1)
    assert found["top5_accuracy"] == top_k_accuracy_score(labels, logits, k=5)
    assert found["loss"] == pytest.approx(log_loss(labels, logits.double().softmax(1)))
    assert (
        torch.tensor(compute_confusion_matrix(logits, labels))
        == torch.tensor(sklearn_confusion(labels, logits.argmax(1)))
    ).all()


@pytest.mark.parametrize("absent", [[], [3], [0, 6]])
def test_means_over_classes_are_those_of_scikit_learn(predictions, absent):
    logits, labels = predictions
    kept = ~torch.isin(labels, torch.tensor(absent, dtype=torch.int64))
    logits, labels = logits[kept], labels[kept]
    predicted, here = logits.argmax(1), labels.unique().tolist()
    found = compute_class_means(logits, labels)
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(labels, predicted, labels=here, average="macro")
    assert found["macro_f1"] == pytest.approx(f1)
    assert found["macro_precision"] == pytest.approx(precision)
    assert found["macro_recall"] == found["balanced_accuracy"] == pytest.approx(recall)
    assert found["kappa"] == pytest.approx(metrics.cohen_kappa_score(labels, predicted))
    if not absent:
        assert found["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(labels, predicted))


@pytest.mark.parametrize(
    ("predicted", "labels", "f1", "precision", "kappa"),
    [
        ([0, 1, 2], [0, 1, 2], 1, 1, 1),
        ([1, 0, 1], [0, 1, 0], 0, 0, -0.8),
        ([0, 0, 0], [0, 0, 0], 1, 1, None),  # one class alone: 0 / 0
        ([0, 1, 0], [0, 0, 0], 0.8, 1, 0),
        ([0, 0, 0, 0], [0, 0, 1, 1], (2 / 3 + 0) / 2, 0.25, 0),  # class 1 is never predicted
    ],
)
def test_means_over_classes_at_their_limits(predicted, labels, f1, precision, kappa):
    found = compute_class_means(nn.functional.one_hot(torch.tensor(predicted), 3).float(), torch.tensor(labels))
    assert found["macro_f1"] == pytest.approx(f1)
    assert found["macro_precision"] == pytest.approx(precision)
    assert found["kappa"] == (None if kappa is None else pytest.approx(kappa))
    assert all(value is None or math.isfinite(value) for value in found.values())


def test_confused_pairs_are_the_largest_counts_beside_the_diagonal():
    pairs = find_confused_pairs([[5, 1, 4], [0, 9, 0], [7, 0, 0]], ["a", "b", "c"], most=2)
    assert pairs == [
        {"label": "c", "prediction": "a", "images": 7, "share": 1.0},
        {"label": "a", "prediction": "c", "images": 4, "share": 0.4},
    ]
    assert find_confused_pairs([[5, 0], [0, 0]], ["a", "b"]) == []


def test_per_class_accuracies_weigh_up_to_the_accuracy(predictions):
    logits, labels = predictions
    shares = torch.tensor(compute_per_class_accuracy(logits, labels))
    assert (shares * labels.bincount() / len(labels)).sum().item() == pytest.approx(
        compute_scores(logits, labels)["accuracy"]
    )


def test_class_without_images_has_no_accuracy():
    logits = torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 0.0], [3.0, 1.0, 0.0]])
    assert compute_per_class_accuracy(logits, torch.tensor([0, 0, 0])) == [2 / 3, None, None]


def test_calibration_error_is_the_gap_between_confidence_and_accuracy(predictions):
    logits, labels = predictions
    confidence, predicted = logits.softmax(1).max(1)
    bins = (confidence * 15).ceil().clamp(min=1)
    gaps = [
        (confidence[bins == place].mean() - (predicted == labels)[bins == place].float().mean()).abs() * (bins == place).float().mean()
        for place in bins.unique()
    ]  # fmt: skip
    assert compute_scores(logits, labels)["ece"] == pytest.approx(sum(gaps).item(), abs=1e-6)


@pytest.mark.parametrize("num_classes", [2, 5, 6])
def test_top_5_only_where_there_are_more_than_five_classes(num_classes):
    assert ("top5_accuracy" in compute_scores(torch.rand(10, num_classes), torch.zeros(10, dtype=torch.int64))) == (
        num_classes > 5
    )


def test_a_sure_and_right_network_is_perfect_and_calibrated():
    labels = torch.arange(12) % 3
    found = compute_scores(nn.functional.one_hot(labels, 3) * 50.0, labels)
    assert found["accuracy"] == 1
    assert found["loss"] == pytest.approx(0, abs=1e-9)
    assert found["ece"] == pytest.approx(0, abs=1e-6)


def test_the_loss_of_a_wrong_and_sure_network_is_finite():
    assert compute_scores(torch.tensor([[200.0, -200.0]]), torch.tensor([1]))["loss"] == pytest.approx(400)


@pytest.mark.parametrize("batch_size", [1, 7, 500])
def test_batches_change_nothing_but_rounding(batch_size):
    session, evaluator = session_of(composed(*TINY, *OFF, f"evaluation.batch_size={batch_size}").experiment)
    whole_session, whole = session_of(composed(*TINY, *OFF).experiment)
    torch.manual_seed(0)
    model = session.network()
    view = EvaluationView(resize=16, size=16)
    torch.testing.assert_close(evaluator.logits(model, "train", view), whole.logits(model, "train", view))
    assert len(whole.logits(model, "train", view)) == len(whole_session.data.train) == 48


def test_evaluation_leaves_the_network_as_it_is():
    session, evaluator = session_of(composed(*TINY, *OFF).experiment)
    model = session.network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first = evaluator.logits(model, "val", EvaluationView(resize=16, size=16))
    assert torch.equal(evaluator.logits(model, "val", EvaluationView(resize=16, size=16)), first)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not first.requires_grad


def test_logits_are_in_the_order_of_the_labels():
    """A network that returns the mean colour of an image gives the colours of the split's images."""
    session, evaluator = session_of(composed(*TINY, *OFF).experiment)

    class MeanColor(nn.Module):
        def forward(self, images):
            return images.mean((2, 3))

    view = EvaluationView(resize=16, size=16)
    for split in ("train", "val", "test"):
        expected = torch.cat([images.mean((2, 3)) for images in evaluator.images(split, view)])
        assert torch.equal(evaluator.logits(MeanColor(), split, view), expected)
        assert torch.equal(evaluator.labels(split), session.data.labels[vars(session.data)[split]])


@pytest.mark.parametrize("rank", [0, 5])
def test_a_process_without_images_has_no_rows(monkeypatch, rank):
    """Six processes and five images: the sixth has none, and the others wait for its rows."""
    monkeypatch.setattr(evaluator_module, "gather_interleaved", lambda rows, world: rows)
    session, evaluator = session_of(composed(*TINY, "scale.eval_images=5").experiment)
    evaluator = replace(evaluator, world=World(rank=rank, size=6), _cache={})
    network, views = session.network(), [EvaluationView(resize=16, size=16), EvaluationView(resize=24, size=16)]
    num = int(rank == 0)
    assert evaluator.logits(network, "val", views[0]).shape == (num, 4)
    assert evaluator.predict_views(network, "val", views).shape == (2, num)


#: What goes through images that are not kept, batch by batch.
USES = {
    "scores": lambda session, network: session.evaluator.logits(network, "train", session.default_view),
    "search": lambda session, network: session.evaluator.predict_views(network, "train", [session.default_view]),
    "features": lambda session, network: session.evaluator.features(network, "train", session.default_view),
    "statistics": lambda session, network: [*iterate_norm_batches(session)],
    "fine-tuning": lambda session, network: session.experiment.evaluation.fine_tune(
        network, session.evaluator.get_training_images(session.default_view), session.streams
    ),
}


@pytest.mark.parametrize("use", USES)
def test_the_next_batch_is_cut_while_the_network_computes(monkeypatch, use):
    words = ("evaluation/fine_tune=classifier_and_norm", "evaluation.fine_tune.epochs=1", "batch_size=16")
    words += ("evaluation.batch_size=16", "evaluation.fine_tune.batch_size=16")
    session, _ = session_of(composed(*TINY, *OFF, *words).experiment)
    network = session.network()
    kept = USES["scores"](session, network)
    monkeypatch.setattr(evaluator_module, "CACHE_BYTES", 0)
    assert torch.equal(USES["scores"](session, network), kept)
    begun, is_next_begun = Semaphore(0), list[bool]()
    cut, normalize = Evaluator.cut, Evaluator.normalize_on_device

    def cut_and_say(*arguments):
        begun.release()
        return cut(*arguments)

    def wait_and_normalize(*arguments):
        to_wait_for = (2, 1, 0)[len(is_next_begun)]
        is_next_begun.append(all(begun.acquire(timeout=1) for _ in range(to_wait_for)))
        return normalize(*arguments)

    monkeypatch.setattr(Evaluator, "cut", cut_and_say)
    monkeypatch.setattr(Evaluator, "normalize_on_device", wait_and_normalize)
    USES[use](session, network)
    assert is_next_begun == [True, True, True]
