"""Confidence and correctness of stored predictions."""

import numpy as np
from numpy.typing import NDArray

#: Bins of a reliability diagram, as for the calibration error.
NUM_BINS = 15


def compute_confidence(
    logits: NDArray[np.floating], labels: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(softmax probability of the predicted class [N], whether it is correct [N]) of logits [N, C] and labels [N]."""
    # A network that nearly diverged has logits that the file's half precision stores as infinite.
    scores = logits.astype(np.float64).clip(-1e5, 1e5)
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    return shares.max(axis=1), shares.argmax(axis=1) == labels
