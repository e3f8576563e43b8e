"""`mistakes.npz` and `mistakes.csv`: the wrongly classified test images with the highest confidence."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sota_exp.data.resize import center_crop
from sota_exp.runs.digests import write_checked
from sota_exp.stages.data import DataSet
from sota_exp.stages.evaluation import EvaluationView
from sota_exp.training.prediction_files import list_predictions, write_table

#: Number of images that are kept.
NUM_MISTAKES = 24


def find_worst_mistakes(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Wrong predictions, the most confident first: positions int64 [K], confidences float32 [K], K ≤ 24.

    logits: float32 [N, C]. labels: int64 [N].
    """
    confidence, predicted = logits.softmax(1).amax(1), logits.argmax(1)
    wrong = (predicted != labels).nonzero().flatten()
    order = confidence[wrong].argsort(descending=True, stable=True)[:NUM_MISTAKES]
    return wrong[order], confidence[wrong[order]]


def write_mistakes(
    directory: Path, data: DataSet, view: EvaluationView, interpolation: str, arrays: dict[str, np.ndarray]
) -> None:
    """Write the images, uint8 [K, 3, S, S] as the network read them, true and predicted class [K], and confidence [K].

    The table has their names, in the same order.

    arrays: those of `predictions.npz`. view, interpolation: how the network read the images.
    """
    logits, labels = torch.from_numpy(arrays["test_logits"]), torch.from_numpy(arrays["test_labels"])
    positions, confidences = find_worst_mistakes(logits, labels)
    images = torch.empty(0, 3, view.size, view.size, dtype=torch.uint8)
    if len(positions):
        images = center_crop(data.images, data.test[positions], view.resize, view.size, interpolation)
    kept = {
        "images": images.contiguous().numpy(),
        "true": labels[positions].numpy(),
        "predicted": logits[positions].argmax(1).numpy(),
        "confidence": confidences.numpy(),
    }
    write_checked(directory / "mistakes.npz", lambda file: np.savez_compressed(file, allow_pickle=False, **kept))
    rows = list_predictions(data, "test", arrays)
    write_table(directory / "mistakes.csv", [rows[position] for position in positions.tolist()])
