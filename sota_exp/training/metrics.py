"""Metrics of logits and labels: accuracy, loss, calibration, per-class accuracy, the confusion matrix."""

import torch
from torch import Tensor


def compute_scores(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """Accuracy, top-5 accuracy (of more than five classes), cross-entropy, and expected calibration error.

    logits: float [N, C]. labels: int64 [N]. Accuracies and ECE are in [0, 1]; ECE has 15 equal bins (Guo et al. 2017,
    arXiv:1706.04599).
    """
    from torchmetrics.functional.classification import multiclass_calibration_error  # a second to import

    num_classes = logits.shape[1]
    values = {
        "accuracy": (logits.argmax(1) == labels).sum().item() / len(labels),
        "loss": torch.nn.functional.cross_entropy(logits.double(), labels).item(),
        "ece": multiclass_calibration_error(logits.softmax(1), labels, num_classes, n_bins=15).item(),
    }
    if num_classes > 5:
        top5 = logits.topk(5, dim=1).indices
        values["top5_accuracy"] = (top5 == labels[:, None]).any(1).sum().item() / len(labels)
    return values


def compute_per_class_accuracy(logits: Tensor, labels: Tensor) -> list[float]:
    """Recall of each class, in [0, 1]; 0 for a class without images. logits: float [N, C]. labels: int64 [N]."""
    from torchmetrics.functional.classification import multiclass_accuracy

    return multiclass_accuracy(logits, labels, logits.shape[1], average="none").tolist()


def compute_confusion_matrix(logits: Tensor, labels: Tensor) -> list[list[int]]:
    """Number of images, [true class][predicted class]. logits: float [N, C]. labels: int64 [N]."""
    from torchmetrics.functional.classification import multiclass_confusion_matrix

    return multiclass_confusion_matrix(logits, labels, logits.shape[1]).tolist()
