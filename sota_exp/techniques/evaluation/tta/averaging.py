"""Averages the predictions for several views of an image."""

import math

import torch
from torch import Tensor


def compute_log_mean_probability(logits: Tensor) -> Tensor:
    """Logits of V views [V, B, C] → logarithm of the mean probability [B, C], float32."""
    return torch.logsumexp(logits.float().log_softmax(2), dim=0) - math.log(len(logits))
