"""The test images that a network is most wrong about: `mistakes.npz`, to be looked at."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sota_exp.data.resize import center_crop
from sota_exp.runs.atomic import write_atomically
from sota_exp.stages.data import DataSet
from sota_exp.stages.evaluation import View

#: How many are kept.
NUM_KEPT = 24


def worst(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """(positions [K], confidences [K]) of the wrong predictions, the most confident first; K ≤ 24."""
    confidence, predicted = logits.softmax(1).max(1)
    wrong = (predicted != labels).nonzero().flatten()
    order = confidence[wrong].argsort(descending=True, stable=True)[:NUM_KEPT]
    return wrong[order], confidence[wrong[order]]


def write_mistakes(
    directory: Path, data: DataSet, view: View, interpolation: str, arrays: dict[str, np.ndarray]
) -> None:
    """From test's logits and labels: images uint8 [K, 3, S, S] as the network saw them, true and predicted [K], confidence [K]."""
    logits, labels = torch.from_numpy(arrays["test_logits"]).float(), torch.from_numpy(arrays["test_labels"])
    positions, confidences = worst(logits, labels)
    images = torch.empty(0, 3, view.size, view.size, dtype=torch.uint8)
    if len(positions):
        images = center_crop(data.images, data.test[positions], view.resize, view.size, interpolation)
    kept = {
        "images": images.contiguous().numpy(),
        "true": labels[positions].numpy(),
        "predicted": logits[positions].argmax(1).numpy(),
        "confidence": confidences.numpy(),
    }
    write_atomically(directory / "mistakes.npz", lambda file: np.savez_compressed(file, allow_pickle=False, **kept))
