"""One score from several views of an image."""

import math

import torch
from torch import Tensor


def log_mean_probability(logits: Tensor) -> Tensor:
    """Logits of several views [V, B, C] → logarithm of their mean probability [B, C]."""
    return torch.logsumexp(logits.float().log_softmax(2), dim=0) - math.log(len(logits))
