"""Metrics of logits and labels: accuracy, loss, calibration, means over classes, the confusion matrix and its pairs."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from sota_exp.errors import RunFailed


def require_finite(metrics: Mapping[str, float | None], where: str, fix: str) -> None:
    """Check that training has not diverged; None is a score that does not exist for these images.

    Raises:
        RunFailed: a metric is infinite or NaN.
    """
    for name, value in metrics.items():
        if value is not None and not math.isfinite(value):
            raise RunFailed(f"diverged: {name} is {value} {where}; {fix}")


def compute_scores(logits: Tensor, labels: Tensor) -> dict[str, float | None]:
    """Accuracy, cross-entropy, expected calibration error, means over classes, and for C > 5 top-5 accuracy.

    logits: float [N, C]. labels: int64 [N]. All are in [0, 1] but the loss, which is at least 0, and κ, in [−1, 1].
    """
    values: dict[str, float | None] = {
        "accuracy": (logits.argmax(1) == labels).sum().item() / len(labels),
        "loss": torch.nn.functional.cross_entropy(logits.double(), labels).item(),
        "ece": compute_calibration_error(logits, labels),
        **compute_class_means(logits, labels),
    }
    if logits.shape[1] > 5:
        top5 = logits.topk(5, dim=1).indices
        values["top5_accuracy"] = (top5 == labels[:, None]).any(1).sum().item() / len(labels)
    return values


def compute_class_means(logits: Tensor, labels: Tensor) -> dict[str, float | None]:
    """F1, precision and recall averaged over classes, balanced accuracy, and Cohen's κ (Cohen 1960).

    Means are over the classes that have images, with equal weight; so balanced accuracy is the mean recall. They equal
    scikit-learn's with `labels=` these classes and `zero_division=0`; its default takes absent classes that are
    predicted as further ones with the score 0. κ is None where one class alone occurs and is predicted: it is 0 / 0.
    logits: float [N, C]. labels: int64 [N].
    """
    num_classes, predicted = logits.shape[1], logits.argmax(1)
    right, actual, named = (
        each.bincount(minlength=num_classes).double() for each in (labels[predicted == labels], labels, predicted)
    )
    by_chance = (actual @ named).item() / len(labels) ** 2
    agreement = right.sum().item() / len(labels)
    here = actual > 0
    right, actual, named = right[here], actual[here], named[here]
    recall = (right / actual).mean().item()
    return {
        "macro_f1": (2 * right / (actual + named)).mean().item(),
        "macro_precision": (right / named.clamp(min=1)).mean().item(),
        "macro_recall": recall,
        "balanced_accuracy": recall,
        "kappa": (agreement - by_chance) / (1 - by_chance) if by_chance < 1 else None,
    }


def find_confused_pairs(
    confusion: Sequence[Sequence[int]], classes: Sequence[str], most: int = 10
) -> list[dict[str, Any]]:
    """The pairs of classes that are confused most often: label, prediction, images, and their share of the label's.

    confusion: number of images, [true class][predicted class].
    """
    counts = torch.tensor(confusion)
    num_by_label = counts.sum(1)
    wrong = counts.clone().fill_diagonal_(0).flatten()
    order = wrong.argsort(descending=True, stable=True)[:most]
    pairs = [
        (*divmod(place, len(classes)), num) for place, num in zip(order.tolist(), wrong[order].tolist(), strict=True)
    ]
    return [
        {
            "label": classes[label],
            "prediction": classes[prediction],
            "images": num,
            "share": num / num_by_label[label].item(),
        }
        for label, prediction, num in pairs
        if num
    ]


def compute_calibration_error(logits: Tensor, labels: Tensor, bins: int = 15) -> float:
    """Expected calibration error, in [0, 1]: the gap between accuracy and mean confidence in each bin, by its images.

    The bins of confidence are equal, each with its upper edge (Guo et al. 2017, arXiv:1706.04599).
    """
    confidence, predicted = logits.softmax(1).max(1)
    place = torch.bucketize(confidence, torch.linspace(0, 1, bins + 1, device=logits.device)[1:-1])
    correct = (predicted == labels).to(confidence.dtype)
    # In this order, with an empty bin at the end, sums are those of runs that were scored by torchmetrics, to the bit.
    num, num_correct, total = (
        confidence.new_zeros(bins + 1).scatter_add_(0, place, values)
        for values in (torch.ones_like(confidence), correct, confidence)
    )
    gaps = (num_correct / num).nan_to_num() - (total / num).nan_to_num()
    return (gaps.abs() * (num / num.sum())).sum().item()


def compute_per_class_accuracy(logits: Tensor, labels: Tensor) -> list[float | None]:
    """Recall of each class, in [0, 1]; None for a class without images. logits: float [N, C]. labels: int64 [N]."""
    confusion = compute_confusion_matrix(logits, labels)
    return [row[label] / sum(row) if any(row) else None for label, row in enumerate(confusion)]


def compute_confusion_matrix(logits: Tensor, labels: Tensor) -> list[list[int]]:
    """Number of images, [true class][predicted class]. logits: float [N, C]. labels: int64 [N]."""
    num_classes = logits.shape[1]
    pairs = labels * num_classes + logits.argmax(1)
    return pairs.bincount(minlength=num_classes**2).view(num_classes, num_classes).tolist()
