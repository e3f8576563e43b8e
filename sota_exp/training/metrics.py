"""Metrics of logits and labels: accuracy, loss, calibration, per-class accuracy, the confusion matrix."""

import torch
from torch import Tensor


def compute_scores(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """Accuracy, top-5 accuracy (of more than five classes), cross-entropy, and expected calibration error.

    logits: float [N, C]. labels: int64 [N]. Accuracies and ECE are in [0, 1].
    """
    values = {
        "accuracy": (logits.argmax(1) == labels).sum().item() / len(labels),
        "loss": torch.nn.functional.cross_entropy(logits.double(), labels).item(),
        "ece": compute_calibration_error(logits, labels),
    }
    if logits.shape[1] > 5:
        top5 = logits.topk(5, dim=1).indices
        values["top5_accuracy"] = (top5 == labels[:, None]).any(1).sum().item() / len(labels)
    return values


def compute_calibration_error(logits: Tensor, labels: Tensor, bins: int = 15) -> float:
    """Expected calibration error, in [0, 1]: the gap between accuracy and mean confidence in each bin, by its images.

    The bins of confidence are equal, each with its upper edge (Guo et al. 2017, arXiv:1706.04599).
    """
    confidence, predicted = logits.softmax(1).max(1)
    edges = torch.linspace(0, 1, bins + 1, device=logits.device)
    place = torch.bucketize(confidence, edges[1:-1])
    gaps = torch.zeros(bins, dtype=torch.float64, device=logits.device)
    gaps.index_add_(0, place, (predicted == labels).double() - confidence.double())
    return gaps.abs().sum().item() / len(labels)


def compute_per_class_accuracy(logits: Tensor, labels: Tensor) -> list[float | None]:
    """Recall of each class, in [0, 1]; None for a class without images. logits: float [N, C]. labels: int64 [N]."""
    confusion = compute_confusion_matrix(logits, labels)
    return [row[label] / sum(row) if any(row) else None for label, row in enumerate(confusion)]


def compute_confusion_matrix(logits: Tensor, labels: Tensor) -> list[list[int]]:
    """Number of images, [true class][predicted class]. logits: float [N, C]. labels: int64 [N]."""
    num_classes = logits.shape[1]
    pairs = labels * num_classes + logits.argmax(1)
    return pairs.bincount(minlength=num_classes**2).view(num_classes, num_classes).tolist()
