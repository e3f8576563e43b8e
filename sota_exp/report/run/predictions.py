"""Confidence and correctness of stored predictions."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Bins of a reliability diagram, as for the calibration error.
NUM_BINS = 15


def bin_by_confidence(confidence: NDArray[np.float64], correct: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """The bins with images: their number and share (weight), mean confidence, share that is correct.

    confidence, correct: [N].
    """
    index = np.clip(np.ceil(confidence * NUM_BINS).astype(int) - 1, 0, NUM_BINS - 1)
    num, sure, right = (np.bincount(index, weights, NUM_BINS) for weights in (None, confidence, correct))
    return [
        {"images": int(num[at]), "weight": num[at] / len(index)}
        | {"confidence": sure[at] / num[at], "correct": right[at] / num[at]}
        for at in np.flatnonzero(num).tolist()
    ]


def compute_confidence(
    logits: NDArray[np.floating], labels: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(softmax probability of the predicted class [N], whether it is correct [N]) of logits [N, C] and labels [N]."""
    # Older versions stored half precision, in which the logits of a network that nearly diverged are infinite.
    scores = np.nan_to_num(logits.astype(np.float64), posinf=1e5, neginf=-1e5)
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    return shares.max(axis=1), scores.argmax(axis=1) == labels
